"""Whether a checkpoint is whole: every file of its manifest there, of its size, with its checksum."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.report import Manifest, ManifestFile, parse_manifest
from trainwright_api.status import CheckpointRecord

from trainwright_cli.errors import NotFoundError
from trainwright_cli.stores import Folder

CHUNK_BYTES = 1 << 20
_STEP = re.compile(r"/step-(\d+)$")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a checkpoint; `problems` is empty if it is whole."""

    step: int
    problems: tuple[str, ...]


def find_checkpoints(folder: Folder) -> list[CheckpointRecord]:
    """Return the checkpoints below a run's folder (or of one step-N folder), newest first.

    One whose manifest is damaged has the step of its folder's name, and neither size nor time. A
    finished model has a manifest too; it is no checkpoint.
    """
    found = []
    for path in folder.list_sizes():
        parent, _, name = f"{folder.uri}{path}".rpartition("/")
        if name == MANIFEST_FILE and (step := _STEP.search(parent)):
            found.append(_read_record(folder, path, int(step[1])))
    return sorted(found, key=lambda record: record.step, reverse=True)


def verify_checkpoint(folder: Folder, step: int) -> Verdict:
    """Read a whole checkpoint and compare it with its manifest."""
    try:
        manifest = parse_manifest(folder.read_bytes(MANIFEST_FILE))
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


def _read_record(folder: Folder, path: str, step: int) -> CheckpointRecord:
    uri = folder.uri + path.removesuffix(MANIFEST_FILE)
    try:
        return _record(parse_manifest(folder.read_bytes(path)), uri)
    except ValidationError:
        return CheckpointRecord(step=step, uri=uri, size_bytes=0, saved_at="", verified=False)


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
