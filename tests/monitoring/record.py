"""Records what a real Prometheus answers to the dashboards' queries: `python -m tests.monitoring.record`.

It runs the demo on a cluster of its own (root on Linux, some ten minutes), with two pods beside it
that serve the metrics of sixteen pretended GPUs, and writes recorded/*.json. `python -m
tools.pictures` then draws the docs' pictures from these. To be run after a change of a dashboard's queries.
"""

import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from trainwright_api import metrics as m

from demo.console import Console
from demo.place import Place
from demo.settings import read_settings
from demo.story import embedded_place, run_on_embedded_cluster
from tests.cluster import Cluster, down
from tests.cluster.processes import wait_until
from tests.fake_nvml import build_fake_nvml
from tests.monitoring.pretended_gpus import PretendedGpus
from tests.monitoring.server import Prometheus
from tools.pictures.__main__ import RECORDED, VARIABLES, load_dashboard
from tools.pictures.answers import Span, fetch_answers, write_answers
from tools.prometheus_api import PrometheusApi

CLUSTER = "pictures"
PRETRAINING, FINE_TUNING = "stdlib-gpt", "smollm2-chat"
# Name of the dashboard: the run whose end is the picture's, and its runs.
SHOWN = {
    "run": (PRETRAINING, {"run": PRETRAINING}),
    "fleet": (FINE_TUNING, {}),
    "hardware": (FINE_TUNING, {}),
    "operator": (FINE_TUNING, {}),
}
MARGIN_SECONDS = 5
LONGEST_SECONDS = 3600
CLUSTER_SECONDS = 1800


def main() -> int:
    """Run the demo, ask, write; exit code 1 if the demo failed."""
    down(CLUSTER)
    with TemporaryDirectory(prefix="nvml-") as folder:
        stopped = threading.Event()
        beside = threading.Thread(target=run_gpus, args=(Path(folder), stopped), daemon=True)
        beside.start()
        try:
            code = run_on_embedded_cluster(read_settings({}), Console(), CLUSTER)
            if code == 0:
                record(Prometheus.start(Cluster.attach(CLUSTER)))
        finally:
            stopped.set()
            beside.join()
            down(CLUSTER)
    return code


def run_gpus(folder: Path, stopped: threading.Event) -> None:
    """Serve pretended GPUs on the demo's cluster from when it has its chart to the end."""

    def attach() -> Place | None:
        if stopped.is_set():
            return None
        try:
            place = embedded_place(Cluster.attach(CLUSTER), "default")
            place.get("trainingruns", PRETRAINING)
        except Exception:  # whatever is not there yet
            return None
        return place

    place = wait_until("the demo trains", lambda: stopped.is_set() or attach(), CLUSTER_SECONDS)
    if isinstance(place, Place):
        folder.chmod(0o755)
        PretendedGpus(place, build_fake_nvml(folder / "library")).run(folder, stopped)


def record(api: PrometheusApi) -> None:
    """Ask for each dashboard over its time and write the answers."""
    RECORDED.mkdir(exist_ok=True)
    for name, (run, variables) in SHOWN.items():
        start, end = find_span(api, run)
        if name != "run":
            start = find_span(api, PRETRAINING)[0]
        span = Span.before(end, (end - start) / 60)
        chosen = VARIABLES | variables | {"__range": f"{round(span.end - span.start)}s"}
        write_answers(
            RECORDED / f"{name}.json", fetch_answers(api, load_dashboard(name), span, chosen)
        )


def find_span(api: PrometheusApi, run: str) -> tuple[float, float]:
    """When a run was first and last seen to train, a little inside (Unix seconds)."""
    seen = f'timestamp({m.STEP.name}{{run="{run}"}})'
    window = f"[{LONGEST_SECONDS}s:2s]"
    (first,) = api.query(f"min(min_over_time({seen}{window}))")
    (last,) = api.query(f"max(max_over_time({seen}{window}))")
    return first.value - MARGIN_SECONDS, last.value - MARGIN_SECONDS


if __name__ == "__main__":
    sys.exit(main())
