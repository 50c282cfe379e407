"""What checkpoints a folder of the store holds: whole ones, broken ones, leftovers of killed saves."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from trainwright_api.names import MANIFEST_FILE
from trainwright_api.report import MANIFEST_FORMAT, Manifest, ManifestFormat, parse_manifest
from trainwright_api.status import CheckpointRecord

from trainwright_trainer.checkpoint.layout import manifest_path, parse_step
from trainwright_trainer.store import FileInfo, MissingFileError, Store, is_inside

Sizes = dict[str, int]  # by path inside the checkpoint's folder


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint whose manifest parses and whose files are there with their sizes."""

    uri: str
    manifest: Manifest

    @property
    def step(self) -> int:
        """Its optimizer step."""
        return self.manifest.step

    def record(self, **seconds: float) -> CheckpointRecord:
        """Return it as status shows it; checksums were verified when it was uploaded."""
        manifest = self.manifest
        return CheckpointRecord(
            step=manifest.step,
            uri=self.uri,
            size_bytes=sum(file.size_bytes for file in manifest.files),
            saved_at=manifest.saved_at,
            verified=True,
            loss=manifest.loss,
            validation_loss=manifest.validation_loss,
            **seconds,
        )


@dataclass(frozen=True)
class Catalog:
    """Checkpoints newest first; steps that do not verify, and why; steps without a manifest."""

    checkpoints: list[StoredCheckpoint] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)
    unfinished: list[int] = field(default_factory=list)


def read_catalog(store: Store, only_step: int | None = None) -> Catalog:
    """Read all manifests of a run's folder and compare them with the files that are there.

    Raises UserError for a checkpoint that a newer trainer wrote in a format of its own: passed over, it
    would be trained anew, and deleted at last.
    """
    catalog = Catalog()
    for step, sizes in sorted(_sizes_by_step(store.list_files()).items(), reverse=True):
        if only_step not in (None, step):
            continue
        if MANIFEST_FILE not in sizes:
            catalog.unfinished.append(step)
            continue
        checkpoint = read_checkpoint(store, step, sizes)
        if isinstance(checkpoint, str):
            catalog.broken[step] = checkpoint
        else:
            catalog.checkpoints.append(checkpoint)
    return catalog


def read_checkpoint(store: Store, step: int, sizes: Sizes) -> StoredCheckpoint | str:
    """Return a checkpoint, or in words why it is none. Raises UserError for an unknown format."""
    path = manifest_path(step)
    uri = store.uri_of(path.removesuffix(MANIFEST_FILE))
    try:
        content = store.read_bytes(path)
        _check_format(store, uri, content)
        manifest = parse_manifest(content)
        datetime.fromisoformat(manifest.saved_at)
    except (ValueError, MissingFileError):  # pydantic's errors of validation are ValueErrors
        return "its manifest cannot be read"
    if manifest.step != step:
        return f"its manifest is of step {manifest.step}"
    problem = find_problem(manifest, sizes)
    return problem if problem else StoredCheckpoint(uri, manifest)


def _check_format(store: Store, uri: str, content: bytes) -> None:
    """Refuse a newer format before the rest is parsed, which may be different in it."""
    found = ManifestFormat.model_validate_json(content, extra="ignore").format
    if found > MANIFEST_FORMAT:
        raise store.user_error(
            f"a checkpoint at {uri} whose manifest is of format {found}",
            f"format {MANIFEST_FORMAT}, the newest that this trainer knows",
            "use the trainer's image that wrote it, or a newer one",
        )


def find_problem(manifest: Manifest, sizes: Sizes) -> str | None:
    """Return in words what is missing or has another size; None if all is as the manifest says."""
    for file in manifest.files:
        if not is_inside(file.path):
            return f"its manifest names {file.path}, outside its folder"
        size = sizes.get(file.path)
        if size is None:
            return f"{file.path} is missing"
        if size != file.size_bytes:
            return f"{file.path} has {size} bytes instead of {file.size_bytes}"
    return None


def _sizes_by_step(files: list[FileInfo]) -> dict[int, Sizes]:
    steps: dict[int, Sizes] = defaultdict(dict)
    for file in files:
        folder, _, name = file.path.partition("/")
        step = parse_step(folder)
        if step is not None and name:
            steps[step][name] = file.size_bytes
    return steps
