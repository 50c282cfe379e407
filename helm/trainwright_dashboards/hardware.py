"""Dashboard Hardware: nodes and devices, worst first."""

from grafana_foundation_sdk.builders import dashboard
from trainwright_api import metrics as m

from trainwright_dashboards.frame import namespace_choice, new_dashboard, run_choice
from trainwright_dashboards.panels import Query, Text, bar_panel, line_panel
from trainwright_dashboards.promql import of_run

DEVICE = "{{run}} rank {{rank}} gpu {{gpu}}"
WORST = 16  # bars that stay legible at 1080p


def build_hardware_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of devices; CPU nodes have their own rows."""
    board = (
        new_dashboard("hardware", "Hardware", "Which device or node is to blame.", "now-1h")
        .with_variable(namespace_choice())
        .with_variable(run_choice())
    )
    _add_worst(board)
    _add_devices(board)
    _add_faults(board)
    _add_hosts(board)
    return board


def _add_worst(board: dashboard.Dashboard) -> None:
    memory = f"{of_run(m.GPU_MEMORY_USED)} / {of_run(m.GPU_MEMORY_TOTAL)}"
    panels = (
        bar_panel(
            Text(
                "Least used devices",
                "Devices with the lowest utilisation over 5 minutes.",
                "percentunit",
            ),
            Query(f"bottomk({WORST}, avg_over_time({of_run(m.GPU_UTILIZATION)}[5m]))", DEVICE),
            maximum=1,
            thresholds=((None, "red"), (0.4, "orange"), (0.8, "green")),
        ),
        bar_panel(
            Text("Hottest devices", "Devices with the highest temperature.", "celsius"),
            Query(f"topk({WORST}, {of_run(m.GPU_TEMPERATURE)})", DEVICE),
            thresholds=((None, "green"), (80, "orange"), (88, "red")),
        ),
        bar_panel(
            Text("Fullest devices", "Memory in use over the device's memory.", "percentunit"),
            Query(f"topk({WORST}, {memory})", DEVICE),
            maximum=1,
            thresholds=((None, "green"), (0.9, "orange"), (0.97, "red")),
        ),
    )
    board.with_row(dashboard.Row("Worst first"))
    for panel in panels:
        board.with_panel(panel.span(8).height(9))


def _add_devices(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("Utilisation", "Time with a kernel running, per device.", "percentunit"),
            Query(of_run(m.GPU_UTILIZATION), DEVICE),
            minimum=0,
            maximum=1,
        ),
        line_panel(
            Text("Power", "Power drawn per device.", "watt"),
            Query(of_run(m.GPU_POWER), DEVICE),
            minimum=0,
        ),
        line_panel(
            Text("Clocks", "SM and memory clock per device.", "hertz"),
            Query(of_run(m.GPU_CLOCK), DEVICE + " {{domain}}"),
            minimum=0,
        ),
        line_panel(
            Text("PCIe throughput", "Bytes per second to and from the host.", "Bps"),
            Query(of_run(m.GPU_PCIE_BYTES), DEVICE + " {{direction}}"),
            minimum=0,
        ),
        line_panel(
            Text("NVLink throughput", "Bytes per second over all links of a device.", "Bps"),
            Query(
                f"rate({of_run(m.GPU_NVLINK_BYTES)}[$__rate_interval])", DEVICE + " {{direction}}"
            ),
            minimum=0,
        ),
        line_panel(
            Text("Memory", "Memory in use per device.", "bytes"),
            Query(of_run(m.GPU_MEMORY_USED), DEVICE),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Devices"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))


def _add_faults(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("Throttled", "1 while a device's clock is held down, by reason.", "none"),
            Query(of_run(m.GPU_THROTTLED), DEVICE + " {{reason}}"),
            minimum=0,
            maximum=1,
        ),
        line_panel(
            Text("Xid events", "Xid events of the driver in 10 minutes, by code.", "short"),
            Query(f"increase({of_run(m.GPU_XID_EVENTS)}[10m])", DEVICE + " Xid {{xid}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Memory errors", "Corrected and uncorrected memory errors in 10 minutes.", "short"
            ),
            Query(f"increase({of_run(m.GPU_ECC_ERRORS)}[10m])", DEVICE + " {{type}}"),
            minimum=0,
        ),
        line_panel(
            Text("NVLink errors", "CRC and replay errors of all links in 10 minutes.", "short"),
            Query(f"increase({of_run(m.GPU_NVLINK_ERRORS)}[10m])", DEVICE),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Faults"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))


def _add_hosts(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("CPU use", "CPU use of each pod over its limit.", "percentunit"),
            Query(of_run(m.CPU_UTILIZATION), "{{pod}} on {{node}}"),
            minimum=0,
        ),
        line_panel(
            Text("Host memory", "Memory of each pod.", "bytes"),
            Query(of_run(m.HOST_MEMORY_BYTES, state="=used"), "{{pod}} on {{node}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Memory by rank",
                "Memory of each rank's device or process: allocated and peak.",
                "bytes",
            ),
            Query(of_run(m.MEMORY_BYTES), "{{run}} rank {{rank}} {{state}}"),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Hosts"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))
