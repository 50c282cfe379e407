"""A run's history: served by the pod of a live run, else beside its checkpoints in the store.

Read by `report` and `compare` for their curves, and by the screen of `watch`.
"""

from pydantic import ValidationError
from trainwright_api.history import HISTORY_FILE, HistoryRow, parse_rows
from trainwright_api.resolve import run_folder
from trainwright_api.resources import FineTuneJob, TrainingRun

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import CliError, NotFoundError
from trainwright_cli.runs import RunView
from trainwright_cli.stores import open_folder

KINDS: dict[str, type[TrainingRun] | type[FineTuneJob]] = {
    "TrainingRun": TrainingRun,
    "FineTuneJob": FineTuneJob,
}


def fetch_history(cluster: Cluster, view: RunView, endpoint: str | None) -> list[HistoryRow]:
    """Return the run's history: from the pod of a live run, else from the store; none before the first step.

    Raises UnreachableError if the store does not answer.
    """
    data = None if view.has_ended else cluster.fetch_history(view)
    if data is None:
        store = (
            KINDS[view.kind]
            .model_validate({"metadata": {"name": view.name}, "spec": view.manifest["spec"]})
            .spec.checkpoints.store
        )
        folder = run_folder(store, view.namespace, view.name)
        try:
            data = open_folder(
                folder.uri, endpoint=endpoint or store.endpoint, region=store.region
            ).read_bytes(HISTORY_FILE)
        except NotFoundError:
            return []
    return parse_history(data, view)


def parse_history(data: bytes, view: RunView) -> list[HistoryRow]:
    """Return the rows of a run's history. Raises CliError on a line that is no row."""
    try:
        return parse_rows(data)
    except ValidationError as error:
        raise CliError(f"the history of {view.title} is not readable: {error}") from error
