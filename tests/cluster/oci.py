"""Container images without a builder: an OCI archive from a few files, by the standard library.

Deterministic: the same files give the same bytes, hence the same image.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ImageFile:
    """A file of an image."""

    data: bytes
    mode: int = 0o644


def build_oci_archive(
    name: str,
    files: Mapping[str, ImageFile],
    entrypoint: Sequence[str],
    user: str = "65532:65532",
) -> bytes:
    """A tar that `ctr images import` takes; `name` must be a full one, as localhost/pause:1."""
    layer = build_layer(files)
    config = _encode(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/bin:/"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        }
    )
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    annotations = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "manifests": [_descriptor(_MANIFEST, manifest, annotations)]}
    blobs = {f"blobs/sha256/{_sha256(blob)}": blob for blob in (layer, config, manifest)}
    contents = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _encode(index)}
    return _tar({path: ImageFile(data) for path, data in {**contents, **blobs}.items()})


def build_layer(files: Mapping[str, ImageFile]) -> bytes:
    """An uncompressed layer; folders are made as needed, and /tmp is writable for all."""
    return _tar(files, folders={"tmp": 0o1777})


def read_image_names(archive: Path) -> list[str]:
    """The image names inside an OCI archive, as containerd will call them."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile("index.json")
        manifests = json.loads(member.read())["manifests"] if member else []
    keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
    found = (m.get("annotations", {}) for m in manifests)
    return [name for a in found for name in [next((a[k] for k in keys if k in a), "")] if name]


def _tar(files: Mapping[str, ImageFile], folders: Mapping[str, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    parents = {str(p) for path in files for p in Path(path).parents if str(p) != "."}
    modes = {**dict.fromkeys(parents, 0o755), **(folders or {})}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(modes):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, modes[path]
            tar.addfile(entry)
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(files[path].data), files[path].mode
            tar.addfile(entry, io.BytesIO(files[path].data))
    return buffer.getvalue()


def _descriptor(
    media_type: str, blob: bytes, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    described = {"mediaType": media_type, "digest": f"sha256:{_sha256(blob)}", "size": len(blob)}
    return {**described, "annotations": dict(annotations)} if annotations else described


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
