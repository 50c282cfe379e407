"""Whether a checkpoint is whole: every file of its manifest there, of its size, with its checksum."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.report import Manifest, ManifestFile
from trainwright_api.status import CheckpointRecord

from trainwright_cli.errors import NotFoundError
from trainwright_cli.stores import Folder

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a checkpoint; `problems` is empty if it is whole."""

    step: int
    problems: tuple[str, ...]


def find_checkpoints(folder: Folder) -> list[CheckpointRecord]:
    """Return the checkpoints below a run's folder (or of one step-N folder), newest first."""
    found = []
    for path in folder.list_sizes():
        if path.rpartition("/")[2] == MANIFEST_FILE:
            manifest = Manifest.model_validate_json(folder.read_bytes(path))
            found.append(_record(manifest, folder.uri + path.removesuffix(MANIFEST_FILE)))
    return sorted(found, key=lambda record: record.step, reverse=True)


def verify_checkpoint(folder: Folder, step: int) -> Verdict:
    """Read a whole checkpoint and compare it with its manifest."""
    try:
        manifest = Manifest.model_validate_json(folder.read_bytes(MANIFEST_FILE))
    except NotFoundError:
        return Verdict(step, ("manifest.json is missing: the checkpoint was never finished",))
    except ValidationError:
        return Verdict(step, ("manifest.json cannot be read",))
    sizes = folder.list_sizes()
    problems = (_problem(folder, file, sizes) for file in manifest.files)
    return Verdict(step, tuple(problem for problem in problems if problem))


def _problem(folder: Folder, file: ManifestFile, sizes: Mapping[str, int]) -> str | None:
    if file.path not in sizes:
        return f"{file.path} is missing"
    if sizes[file.path] != file.size_bytes:
        return f"{file.path} has {sizes[file.path]} bytes, expected {file.size_bytes}"
    digest = hashlib.sha256()
    with folder.open(file.path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return None if digest.hexdigest() == file.sha256 else f"{file.path} has another checksum"


def _record(manifest: Manifest, uri: str) -> CheckpointRecord:
    return CheckpointRecord(
        step=manifest.step,
        uri=uri,
        size_bytes=sum(file.size_bytes for file in manifest.files),
        saved_at=manifest.saved_at,
        verified=False,
        loss=manifest.loss,
        validation_loss=manifest.validation_loss,
    )
