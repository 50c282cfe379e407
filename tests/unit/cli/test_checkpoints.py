"""`trainwright checkpoints --uri`: listing and verifying folders of this machine."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from trainwright_cli.errors import ExitCode, UnreachableError
from trainwright_cli.stores import S3Folder, open_folder

from tests.unit.cli.manifests import invoke

CONTENT = b"weights" * 1000


def save_checkpoint(run_folder: Path, step: int) -> Path:
    folder = run_folder / f"step-{step:06d}"
    (folder / "shards").mkdir(parents=True)
    (folder / "shards" / "0.pt").write_bytes(CONTENT)
    manifest = {
        "run": "gpt",
        "namespace": "default",
        "uid": "u",
        "attempt": 1,
        "step": step,
        "samples": step,
        "tokens": step,
        "epoch": 0.1,
        "worldSize": 1,
        "zeroStage": 1,
        "precision": "FP32",
        "savedAt": "2026-01-02T03:04:05+00:00",
        "loss": 2.5,
        "files": [
            {
                "path": "shards/0.pt",
                "sizeBytes": len(CONTENT),
                "sha256": hashlib.sha256(CONTENT).hexdigest(),
            }
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def listed(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(invoke("checkpoints", *arguments, "-o", "json").stdout)
    return found


def test_a_damaged_manifest_and_one_of_a_newer_trainer_are_told_apart(tmp_path: Path) -> None:
    (save_checkpoint(tmp_path, 10) / "manifest.json").write_text("{")
    newer = save_checkpoint(tmp_path, 20) / "manifest.json"
    newer.write_text(json.dumps(json.loads(newer.read_text()) | {"fromTheFuture": 1}))
    done = invoke("checkpoints", "--uri", str(tmp_path), "--verify")
    assert "step 20: whole" in done.output
    assert "step 10: manifest.json cannot be read" in done.output
    assert "checkpoints of steps 10 are not whole" in done.output


def test_a_finished_model_is_no_checkpoint(tmp_path: Path) -> None:
    step = save_checkpoint(tmp_path, 10)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text((step / "manifest.json").read_text())
    assert [record["uri"] for record in listed("--uri", str(tmp_path))] == [f"{step}/"]
    assert [record["step"] for record in listed("--uri", str(step))] == [10]


def test_a_body_that_breaks_off_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise ReadTimeoutError(endpoint_url="http://minio:9000")

        def close(self) -> None:
            pass

    folder = S3Folder("s3://checkpoints/run/", "http://minio:9000", None)
    monkeypatch.setattr(folder._client, "get_object", lambda **_: {"Body": Broken()})
    with pytest.raises(
        UnreachableError, match=r"s3://checkpoints/run/manifest\.json: Read timeout"
    ):
        folder.read_bytes("manifest.json")


def test_checkpoints_are_listed_newest_first(tmp_path: Path) -> None:
    for step in (10, 30, 20):
        save_checkpoint(tmp_path, step)
    (tmp_path / "step-000040").mkdir()  # never finished: no manifest
    done = invoke("checkpoints", "--uri", str(tmp_path))
    assert done.exit_code == ExitCode.OK
    title, *lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == ["30", "20", "10"]
    assert "VERIFIED" not in title, "nobody has looked"
    found = listed("--uri", tmp_path.as_uri(), "--step", "20")
    assert [(item["step"], item["sizeBytes"]) for item in found] == [(20, len(CONTENT))]
    assert "verified" not in found[0]


def test_whole_checkpoints_verify(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 10)
    done = invoke("checkpoints", "--uri", str(tmp_path), "--verify")
    assert done.exit_code == ExitCode.OK
    assert "step 10: whole" in done.output
    assert listed("--uri", str(tmp_path), "--verify")[0]["verified"] is True


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda shard: shard.unlink(), "shards/0.pt is missing"),
        (lambda shard: shard.write_bytes(CONTENT[:-1]), "has 6999 bytes, expected 7000"),
        (lambda shard: shard.write_bytes(b"W" + CONTENT[1:]), "has another checksum"),
    ],
    ids=["missing", "short", "flipped"],
)
def test_a_damaged_checkpoint_ends_with_1_and_names_the_file(
    tmp_path: Path, damage: Any, said: str
) -> None:
    save_checkpoint(tmp_path, 10)
    damage(save_checkpoint(tmp_path, 20) / "shards" / "0.pt")
    done = invoke("checkpoints", "--uri", str(tmp_path), "--verify")
    assert done.exit_code == ExitCode.FAILED
    assert said in done.output
    assert "step 10: whole" in done.output
    assert "checkpoints of steps 20 are not whole" in done.stderr


def test_a_pvc_can_only_be_read_in_the_cluster() -> None:
    done = invoke("checkpoints", "--uri", "pvc://claim/runs/")
    assert done.exit_code == ExitCode.FAILED
    assert "other stores can only be read in the cluster" in done.stderr


def test_a_file_uri_without_its_third_slash_is_told() -> None:
    done = invoke("checkpoints", "--uri", "file://runs/gpt/")
    assert done.exit_code == ExitCode.FAILED
    assert "got file://runs/gpt/, expected an absolute path; write file:///path" in done.stderr


@pytest.mark.parametrize("name", ["a#b", "a?b", "50%25 a:b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path / name, 10)
    for uri in (f"{tmp_path}/{name}", (tmp_path / name).as_uri()):
        assert [record["step"] for record in listed("--uri", uri)] == [10]


def test_keys_of_s3_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(**what: str) -> dict[str, io.BytesIO]:
        asked.append(what)
        return {"Body": io.BytesIO(b"{}")}

    folder = open_folder("s3://checkpoints/team#1/why?/50%25", endpoint="http://minio:9000")
    assert isinstance(folder, S3Folder)
    monkeypatch.setattr(folder._client, "get_object", answer)
    assert folder.read_bytes("manifest.json") == b"{}"
    assert asked == [{"Bucket": "checkpoints", "Key": "team#1/why?/50%25/manifest.json"}]


def test_an_endpoint_that_is_no_url_is_told() -> None:
    done = invoke("checkpoints", "--uri", "s3://runs/gpt/", "--endpoint", "minio:9000")
    assert done.exit_code == ExitCode.FAILED
    assert done.stderr.startswith("error: s3://runs/gpt/: Invalid endpoint: minio:9000; give an ")
