"""Image archives made without a builder: every digest and size must be that of the bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.cluster.oci import ImageFile, build_layer, build_oci_archive, read_image_names

FILES = {"bin/tool": ImageFile(b"program", 0o755), "etc/a/b.conf": ImageFile(b"x=1")}


def an_archive() -> bytes:
    return build_oci_archive("localhost/tool:1", FILES, ["/bin/tool", "run"])


def contents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
        return {name: file.read() for name, file in found.items() if file}


def follow(archive: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    algorithm, digest = descriptor["digest"].split(":")
    blob = archive[f"blobs/{algorithm}/{digest}"]
    assert len(blob) == descriptor["size"]
    assert hashlib.sha256(blob).hexdigest() == digest
    return blob


def test_archive_is_consistent_from_index_to_layer() -> None:
    archive = contents(an_archive())
    assert json.loads(archive["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(archive["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/tool:1"
    manifest = json.loads(follow(archive, entry))
    config = json.loads(follow(archive, manifest["config"]))
    (layer,) = [follow(archive, descriptor) for descriptor in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/bin/tool", "run"]
    assert contents(layer) == {name: file.data for name, file in FILES.items()}


def test_layer_keeps_modes_makes_folders_and_a_writable_tmp() -> None:
    with tarfile.open(fileobj=io.BytesIO(build_layer(FILES))) as tar:
        modes = {member.name: member.mode for member in tar.getmembers()}
        folders = {member.name for member in tar.getmembers() if member.isdir()}
    assert folders == {"bin", "etc", "etc/a", "tmp"}
    assert (modes["bin/tool"], modes["etc/a/b.conf"], modes["tmp"]) == (0o755, 0o644, 0o1777)


def test_same_files_give_the_same_bytes() -> None:
    assert an_archive() == an_archive()


def test_image_names_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(an_archive())
    assert read_image_names(path) == ["localhost/tool:1"]
