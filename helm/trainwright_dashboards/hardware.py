"""Dashboard Hardware: nodes and devices, worst first."""

from grafana_foundation_sdk.builders import bargauge, dashboard, timeseries
from trainwright_api import metrics as m

from trainwright_dashboards.frame import namespace_choice, new_dashboard, run_choice
from trainwright_dashboards.gpus import (
    DEVICE,
    FAULTY,
    NO_GPU,
    in_all,
    power_panel,
    throttled_panel,
    xid_panel,
)
from trainwright_dashboards.panels import (
    MOST_BARS,
    USED_THRESHOLDS,
    Query,
    Text,
    bar_panel,
    line_panel,
)
from trainwright_dashboards.promql import events, had_devices, of_dcgm, of_run, recent_mean

# They fill the same panels. A part of a GPU (MIG) is one, though the driver does not tell its use.
WITHOUT_GPU = f"unless on (namespace, pod) {had_devices(of_run(m.GPU_INFO))}"
CPU_USE = f"{recent_mean(of_run(m.CPU_UTILIZATION))} {WITHOUT_GPU}"
GPU_USE = recent_mean(of_run(m.GPU_UTILIZATION))


def build_hardware_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of devices; pods without GPUs fill every open row, too."""
    board = (
        new_dashboard("hardware", "Hardware", "Which device or node is to blame.", "now-1h")
        .with_variable(namespace_choice())
        .with_variable(run_choice())
    )
    _add_worst(board)
    _add_devices(board)
    _add_faults(board)
    _add_hosts(board)
    _add_physics(board)
    _add_profiling(board)
    return board


def _add_worst(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Worst first"))
    for panel in (*_worst_nodes(), *_worst_devices()):
        board.with_panel(panel.span(12).height(9))


def _worst_nodes() -> tuple[bargauge.Panel, ...]:
    gpus, cpus = (f"avg by (node) ({use})" for use in (GPU_USE, CPU_USE))
    return (
        bar_panel(
            Text(
                "Least used nodes",
                "Nodes whose devices are used least over 5 minutes; without GPUs, the pods' CPUs.",
                "percentunit",
            ),
            _worst("bottomk", _named(gpus, "$1", "node"), _named(cpus, "$1 CPU", "node")),
            maximum=1,
            thresholds=USED_THRESHOLDS,
        ),
        bar_panel(
            Text(
                "Stragglers",
                "Time a pod needs for data and forward, over the mean of its run's pods: 2 is twice as slow.",
                "none",
            ),
            Query(f"topk({MOST_BARS}, {_slowness()})", "{{namespace}}/{{pod}} {{node}}"),
            thresholds=((None, "green"), (1.1, "orange"), (1.3, "red")),
        ),
    )


def _worst_devices() -> tuple[bargauge.Panel, ...]:
    memory = f"{of_run(m.GPU_MEMORY_USED)} / {of_run(m.GPU_MEMORY_TOTAL)}"
    used, limit = (of_run(m.HOST_MEMORY_BYTES, state=f"={state}") for state in ("used", "limit"))
    host = f"{used} / ignoring (state) {limit} {WITHOUT_GPU}"
    return (
        bar_panel(
            Text(
                "Least used devices",
                "Devices with the lowest utilisation over 5 minutes; without GPUs, the pods' CPUs.",
                "percentunit",
            ),
            _worst("bottomk", _named_gpus(GPU_USE), _named(CPU_USE, "$1 CPU", "pod")),
            maximum=1,
            thresholds=USED_THRESHOLDS,
        ),
        bar_panel(
            Text(
                "Fullest devices",
                "Memory in use over the device's memory; without GPUs, over the pod's limit.",
                "percentunit",
            ),
            _worst("topk", _named_gpus(memory), _named(host, "$1 memory", "pod")),
            maximum=1,
            thresholds=((None, "green"), (0.9, "orange"), (0.97, "red")),
        ),
    )


def _worst(aggregation: str, gpus: str, others: str) -> Query:
    """GPUs and what stands for them elsewhere in one ranking: two would each begin with its own worst."""
    return Query(f"{aggregation}({MOST_BARS}, {gpus} or {others})", "{{device}}")


def _named(selector: str, name: str, label: str) -> str:
    """Series with the label `device`, a name made from another label."""
    return f'label_replace({selector}, "device", "{name}", "{label}", "(.*)")'


def _named_gpus(selector: str) -> str:
    """Series of GPUs with the label `device`, which says where it is and which rank has it."""
    joined = f'label_join({selector}, "device", ";", "node", "gpu", "run", "rank")'
    parts = "(.*);(.*);(.*);(.*)"
    return f'label_replace({joined}, "device", "$1 gpu $2: $3 rank $4", "device", "{parts}")'


def _slowness() -> str:
    """Each pod's time for the parts in which it waits for no other (below ZeRO 3), over its run's mean."""
    total, count = (
        f"rate({of_run(m.STEP_SECONDS, suffix, part='=~data|forward')}[5m])"
        for suffix in ("_sum", "_count")
    )
    live = f"and on (namespace, pod) {of_run(m.STEP)}"
    work = f"(sum by (namespace, run, pod, node) ({total} / ({count} > 0)) {live})"
    return f"{work} / on (namespace, run) group_left () avg by (namespace, run) ({work})"


def _add_devices(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text(
                "Utilisation",
                "Time with a kernel running, per device; without GPUs, the pods' CPU use.",
                "percentunit",
            ),
            Query(of_run(m.GPU_UTILIZATION), DEVICE),
            Query(f"{of_run(m.CPU_UTILIZATION)} {WITHOUT_GPU}", "{{namespace}}/{{pod}} CPU"),
            minimum=0,
        ),
        line_panel(
            Text("Memory", "Memory in use per device; without GPUs, per pod.", "bytes"),
            Query(of_run(m.GPU_MEMORY_USED), DEVICE),
            Query(
                f"{of_run(m.HOST_MEMORY_BYTES, state='=used')} {WITHOUT_GPU}",
                "{{namespace}}/{{pod}}",
            ),
            minimum=0,
        ),
        line_panel(
            Text("Devices", "Devices in use by model and driver, and pods without one.", "short"),
            Query(
                f"count by (model, driver, mig) ({of_run(m.GPU_INFO)})",
                "{{model}}, driver {{driver}}, MIG {{mig}}",
            ),
            Query(f"count ({of_run(m.CPU_UTILIZATION)} {WITHOUT_GPU})", "Pods without a GPU"),
            minimum=0,
            stacked=True,
        ),
    )
    board.with_row(dashboard.Row("Devices"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))


def _add_faults(board: dashboard.Dashboard) -> None:
    """What is wrong, by device, and how often in all: a 0 says that there is none."""
    memory, nvlink, pcie = (
        events(of_run(metric), "10m")
        for metric in (m.GPU_ECC_ERRORS, m.GPU_NVLINK_ERRORS, m.GPU_PCIE_REPLAYS)
    )
    panels = (
        throttled_panel(),
        xid_panel(),
        line_panel(
            Text(
                "Memory errors", "Corrected and uncorrected memory errors in 10 minutes.", "short"
            ),
            in_all(memory),
            Query(f"{memory} > 0", FAULTY + " {{type}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Link errors",
                "Errors in 10 minutes: NVLink CRC and replay errors of all links, PCIe packets sent again.",
                "short",
            ),
            in_all(nvlink, pcie),
            Query(f"{nvlink} > 0", FAULTY + " NVLink"),
            Query(f"{pcie} > 0", FAULTY + " PCIe"),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Faults"))
    for panel in panels:
        board.with_panel(panel.span(6).height(8))


def _add_hosts(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("CPU use", "CPU use of each pod over its limit.", "percentunit"),
            Query(of_run(m.CPU_UTILIZATION), "{{namespace}}/{{pod}} on {{node}}"),
            minimum=0,
        ),
        line_panel(
            Text("Host memory", "Memory of each pod.", "bytes"),
            Query(of_run(m.HOST_MEMORY_BYTES, state="=used"), "{{namespace}}/{{pod}} on {{node}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Memory by rank",
                "Memory of each rank while it trains: allocated, reserved and peak; CPU training: of its process.",
                "bytes",
            ),
            Query(of_run(m.MEMORY_BYTES), "{{namespace}}/{{run}} rank {{rank}} {{state}}"),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Hosts"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))


def _add_physics(board: dashboard.Dashboard) -> None:
    """What only a GPU has; closed, so that a cluster without GPUs sees no empty panel."""
    row = dashboard.Row("Heat, power, clocks and links (of pods with GPUs)").collapsed(True)
    panels: tuple[bargauge.Panel | timeseries.Panel, ...] = (
        bar_panel(
            Text("Hottest devices", "Devices with the highest temperature.", "celsius"),
            Query(f"topk({MOST_BARS}, {of_run(m.GPU_TEMPERATURE)})", DEVICE),
            no_value=NO_GPU,
            thresholds=((None, "green"), (80, "orange"), (88, "red")),
        ),
        power_panel(),
        line_panel(
            Text("Clocks", "SM and memory clock per device.", "hertz"),
            Query(of_run(m.GPU_CLOCK), DEVICE + " {{domain}}"),
            no_value=NO_GPU,
            minimum=0,
        ),
        line_panel(
            Text("PCIe throughput", "Bytes per second to and from the host.", "Bps"),
            Query(of_run(m.GPU_PCIE_BYTES), DEVICE + " {{direction}}"),
            no_value=NO_GPU,
            minimum=0,
        ),
        line_panel(
            Text("NVLink throughput", "Bytes per second over all links of a device.", "Bps"),
            Query(
                f"rate({of_run(m.GPU_NVLINK_BYTES)}[$__rate_interval])", DEVICE + " {{direction}}"
            ),
            no_value=NO_GPU,
            minimum=0,
        ),
    )
    for panel, width in zip(panels, (12, 12, 8, 8, 8), strict=True):  # bars have long names
        row.with_panel(panel.span(width).height(8))
    board.with_row(row)


def _add_profiling(board: dashboard.Dashboard) -> None:
    """What only DCGM's profiling can say; closed, since many clusters have no DCGM-exporter."""
    row = dashboard.Row("Profiling (of clusters with a DCGM-exporter)").collapsed(True)
    panels = (
        (
            "Tensor cores busy",
            "Share of time in which the tensor cores worked, by DCGM-exporter.",
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        ),
        (
            "SMs busy",
            "Share of multiprocessors with work, by DCGM-exporter; idle ones want larger batches.",
            "DCGM_FI_PROF_SM_ACTIVE",
        ),
        (
            "Device memory busy",
            "Share of time in which device memory moved data, by DCGM-exporter.",
            "DCGM_FI_PROF_DRAM_ACTIVE",
        ),
    )
    for title, description, name in panels:
        row.with_panel(
            line_panel(
                Text(title, description, "percentunit"),
                Query(of_dcgm(name), "{{namespace}}/{{pod}} gpu {{gpu}}"),
                minimum=0,
                maximum=1,
                no_value="No DCGM-exporter",
            )
            .span(8)
            .height(8)
        )
    board.with_row(row)
