"""A run's history: served by the pod of a live run, else beside its checkpoints in the store.

Read by `report` and `compare` for their curves, and by the screen of `watch`.
"""

from typing import Any

from pydantic import ValidationError
from trainwright_api.history import HISTORY_FILE, HistoryRow, parse_rows
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.report import parse_manifest
from trainwright_api.resources import KINDS

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import CliError, NotFoundError
from trainwright_cli.run_folders import open_run_folder
from trainwright_cli.runs import RunView
from trainwright_cli.stores import can_be_opened, open_folder


def fetch_history(cluster: Cluster, view: RunView, endpoint: str | None) -> list[HistoryRow]:
    """Return the run's history: from the pod of a live run, else from the store; none before the first step.

    None either where the store is one that only the cluster can read. Raises UnreachableError if the
    store does not answer.
    """
    data = None if view.has_ended else cluster.fetch_history(view)
    if data is None:
        if not is_readable_here(view):
            return []
        try:
            data = open_run_folder(view, "", endpoint).read_bytes(HISTORY_FILE)
        except NotFoundError:
            return []
    return parse_history(data, view)


def is_readable_here(view: RunView) -> bool:
    """Whether the run's store is of a kind that can be read outside of the cluster."""
    return can_be_opened(view.manifest["spec"]["checkpoints"]["store"]["uri"])


def parse_history(data: bytes, view: RunView) -> list[HistoryRow]:
    """Return the rows of a run's history. Raises CliError on a line that is no row."""
    try:
        return parse_rows(data)
    except ValidationError as error:
        raise CliError(f"the history of {view.title} is not readable: {error}") from error


def fetch_versions(view: RunView, endpoint: str | None) -> dict[str, str]:
    """Return the software's versions from the newest checkpoint's manifest; none if it is not readable."""
    latest = view.status.checkpoints.latest if view.status.checkpoints else None
    if latest is None:
        return {}
    store = KINDS[view.kind].model_validate(_bare(view)).spec.checkpoints.store
    try:
        folder = open_folder(latest.uri, endpoint=endpoint or store.endpoint, region=store.region)
        manifest = parse_manifest(folder.read_bytes(MANIFEST_FILE))
    except (CliError, ValidationError):
        return {}
    return manifest.versions


def _bare(view: RunView) -> dict[str, Any]:
    return {"metadata": {"name": view.name}, "spec": view.manifest["spec"]}
