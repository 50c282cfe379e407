"""Panels of what only GPUs have; used by the dashboards Hardware and Run.

On Run they lie in a closed row: there a zero would be shown for pods that have no GPU, too.
"""

from grafana_foundation_sdk.builders import dashboard, timeseries
from trainwright_api import metrics as m

from trainwright_dashboards.panels import Query, Text, line_panel
from trainwright_dashboards.promql import new_events, of_run

DEVICE = "{{node}} gpu {{gpu}}: {{namespace}}/{{run}} rank {{rank}}"
FAULTY = "{{node}} {{uuid}}"  # what to cordon and what to have replaced
NO_GPU = "No pod with a GPU"
ALWAYS = "vector(0)"


def power_panel() -> timeseries.Panel:
    """Return the power of each device."""
    return line_panel(
        Text("Power", "Power drawn per device.", "watt"),
        Query(of_run(m.GPU_POWER), DEVICE),
        no_value=NO_GPU,
        minimum=0,
    )


def throttled_panel(zero: str = ALWAYS) -> timeseries.Panel:
    """Return what holds clocks down."""
    throttled = of_run(m.GPU_THROTTLED)
    return line_panel(
        Text("Throttled", "Reasons that hold clocks down now, and which devices.", "short"),
        in_all(throttled, zero=zero),
        Query(f"{throttled} > 0", FAULTY + " {{reason}}"),
        no_value=NO_GPU,
        minimum=0,
    )


def xid_panel(zero: str = ALWAYS) -> timeseries.Panel:
    """Return the driver's events."""
    xid = new_events(of_run(m.GPU_XID_EVENTS), "10m")
    return line_panel(
        Text("Xid events", "Xid events of the driver in 10 minutes, by code.", "short"),
        in_all(xid, zero=zero),
        Query(f"{xid} > 0", FAULTY + " Xid {{xid}}"),
        no_value=NO_GPU,
        minimum=0,
    )


def in_all(*counts: str, zero: str = ALWAYS) -> Query:
    """Return the sum of counts, which is 0 where nothing is counted and there is a `zero`."""
    return Query(" + ".join(f"(sum({count}) or {zero})" for count in counts), "in all")


def gpu_row() -> dashboard.Row:
    """Return the closed row of a run's devices."""
    zero = f"0 * count({of_run(m.GPU_INFO)})"
    panels = (
        line_panel(
            Text("GPU memory", "Memory in use over the device's memory.", "percentunit"),
            Query(f"{of_run(m.GPU_MEMORY_USED)} / {of_run(m.GPU_MEMORY_TOTAL)}", DEVICE),
            no_value=NO_GPU,
            minimum=0,
            maximum=1,
        ),
        power_panel(),
        line_panel(
            Text("Temperature", "Temperature of each device.", "celsius"),
            Query(of_run(m.GPU_TEMPERATURE), DEVICE),
            no_value=NO_GPU,
        ),
        throttled_panel(zero),
        xid_panel(zero),
    )
    row = dashboard.Row("GPUs (of pods that have some)").collapsed(True)
    for panel, width in zip(panels, (8, 8, 8, 12, 12), strict=True):
        row.with_panel(panel.span(width).height(8))
    return row
