"""The folder of a run in its store, as the run's spec names it."""

from trainwright_api.data import Location
from trainwright_api.resolve import run_folder

from trainwright_cli.runs import RunView
from trainwright_cli.stores import Folder, open_folder


def open_run_folder(view: RunView, path: str, endpoint: str | None) -> Folder:
    """Return the folder at `path` below the run's; `endpoint` goes before what the spec says."""
    store = Location.model_validate(view.manifest["spec"]["checkpoints"]["store"])
    folder = run_folder(store, view.namespace, view.name)
    return open_folder(
        f"{folder.uri}{path}", endpoint=endpoint or store.endpoint, region=store.region
    )
