"""From a checked manifest to the run that this machine trains.

The store becomes a folder, locations are rewritten, nodes become processes. What says Auto stays so: the
trainer plans it for this machine, as the plan made here does.
"""

import json
from collections.abc import Sequence
from typing import Any

from trainwright_api.resources import Resource
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_api.validate import Document, validate_document

from trainwright_cli.errors import InvalidManifestError
from trainwright_cli.local.devices import DeviceChoice, Machine, choose_workers
from trainwright_cli.local.folders import Folders
from trainwright_cli.manifests import parse_checked
from trainwright_cli.resolving import find_facts, make_plan, resolve_locally
from trainwright_cli.rewriting import (
    Rewrite,
    folder_uri,
    inherit_access,
    rewrite_locations,
    rewrite_uri,
)

_READ_FIELDS = (
    "model",
    "baseModel",
    "tokenizer",
    "data",
)  # fields of the spec whose locations are read
LOCAL_UID = "local"  # the same at every start, so that a run knows its own checkpoints


def prepare_run(
    resource: Resource,
    folders: Folders,
    rewrites: Sequence[Rewrite],
    machine: Machine,
    *,
    device: DeviceChoice,
    processes: int | None,
) -> tuple[Run, Plan | None, str]:
    """Return the run for this machine, its plan if it can be made here, and what to say of it.

    Raises InvalidManifestError if the run cannot be trained here as it is.
    """
    local = parse_checked(rewrite_manifest(resource, folders, rewrites))
    run = resolve_locally(local, folders.checkpoints, attempt=_next_attempt(folders))
    _check_rewritten(run)
    workers, reason = choose_workers(run, machine, device=device, processes=processes)
    run = run.model_copy(update={"workers": workers, "uid": LOCAL_UID})
    plan = make_plan(run, find_facts(run, None))
    return run, plan, reason


def rewrite_manifest(
    resource: Resource, folders: Folders, rewrites: Sequence[Rewrite]
) -> dict[str, Any]:
    """Return the manifest with its store, its output and all rewritten locations on this machine."""
    store = resource.spec.checkpoints.store.uri
    to_work = Rewrite(store.rstrip("/"), folder_uri(folders.checkpoints).rstrip("/"))
    written = resource.to_manifest()
    access = written["spec"]["checkpoints"]["store"]
    read = {k: inherit_access(v, access) for k, v in written["spec"].items() if k in _READ_FIELDS}
    manifest: dict[str, Any] = rewrite_locations(
        written | {"spec": written["spec"] | read}, rewrites
    )
    spec = manifest["spec"]
    spec["checkpoints"]["store"] = {"uri": folder_uri(folders.checkpoints)}
    output = resource.spec.output.uri
    if output is not None:
        spec["output"]["uri"] = rewrite_uri(output, [*rewrites, to_work])
    resume = spec["checkpoints"].get("resumeFrom", {})
    if "uri" in resume:
        resume["uri"] = rewrite_uri(resume["uri"], [*rewrites, to_work])
    return manifest


def check_unchanged(resource: Resource, folders: Folders) -> None:
    """Refuse changes that a resumed run cannot have. Raises InvalidManifestError with all of them."""
    try:
        before = json.loads(folders.manifest_file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return
    document = Document(resource.to_manifest(), "")
    problems = validate_document(document, old=before)
    if problems:
        said = "\n       ".join(map(str, problems))
        raise InvalidManifestError(
            f"{said}\n       (compared with the last start; to train anew, use another metadata.name or "
            "--work-dir)"
        )


def write_last_manifest(resource: Resource, folders: Folders) -> None:
    """Keep the manifest for the next start."""
    folders.manifest_file.write_text(json.dumps(resource.to_manifest(), indent=2), "utf-8")


def _next_attempt(folders: Folders) -> int:
    try:
        return int(json.loads(folders.run_file.read_text("utf-8"))["attempt"]) + 1
    except (FileNotFoundError, ValueError, KeyError):
        return 1


def _check_rewritten(run: Run) -> None:
    """Refuse an output that would be written outside of this machine."""
    if not run.output.uri.startswith("file://"):
        raise InvalidManifestError(
            f"spec.output.uri: got {run.output.uri}, expected a folder below spec.checkpoints.store; "
            "or give --rewrite for it"
        )
