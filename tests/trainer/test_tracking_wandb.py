"""W&B offline: what a run leaves in its store is W&B's own record of it, ready for `wandb sync`.

Online there is no server to talk to here: the last test sees what its client is given.
"""

import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import wandb
from trainwright_api.names import SECRET_WANDB_API_KEY, Outcome
from trainwright_api.tracking import WandbMode, WandbTracking
from trainwright_trainer.tracking.sink import Ending
from trainwright_trainer.tracking.wandb_runs import WandbRuns
from wandb.proto.wandb_internal_pb2 import Record

from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run
from tests.trainer.tracking_builder import build_beginning, build_points

BLOCK = 32768
OFFLINE = WandbTracking(project="lab", entity="team", mode=WandbMode.OFFLINE)


def read_records(path: Path) -> list[Record]:
    """What a .wandb file holds: LevelDB's log format, after a header of 7 bytes."""
    content, at, data, records = path.read_bytes(), 7, b"", []
    while at < len(content):
        if BLOCK - at % BLOCK < 7:  # too little for another piece's header
            at += BLOCK - at % BLOCK
            continue
        _checksum, length, kind = struct.unpack_from("<IHB", content, at)
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole one, or the last piece
            records.append(Record.FromString(data))
            data = b""
    return records


def list_syncable(folder: Path) -> set[str]:
    """What `wandb sync attempt-*/offline-run-*` in this folder would send."""
    command = [Path(sys.executable).parent / "wandb", "sync", "--dry-run"]
    done = subprocess.run(
        [*command, *folder.glob("attempt-*/offline-run-*")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    return set(re.findall(r"attempt-\S+\.wandb", done.stdout + done.stderr))


def history(records: list[Record]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = {"/".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
            rows.append({name: float(items[name]) for name in ("step", "train/loss")})
    return rows


def test_attempts_leave_files_of_one_run_in_the_store(tmp_path: Path) -> None:
    for number, steps in ((1, [1, 2]), (2, [2, 3])):
        run = build_run().model_copy(update={"attempt": number})
        sink = WandbRuns(build_beginning(tmp_path, run), OFFLINE)
        sink.open()
        sink.deliver(build_points(steps))
        sink.save()
        assert list((tmp_path / "store" / "wandb").rglob("run-uid-1.wandb"))
        sink.close(Ending(Outcome.SUCCEEDED, steps[-1], []))

    first, second = sorted((tmp_path / "store" / "wandb").rglob("*.wandb"))
    assert first.name == second.name == "run-uid-1.wandb"
    assert first.parent.name.startswith("offline-run-")
    folder = tmp_path / "store" / "wandb"
    assert list_syncable(folder) == {str(path.relative_to(folder)) for path in (first, second)}
    records = read_records(first)
    assert history(records) == [{"step": 1, "train/loss": 1}, {"step": 2, "train/loss": 2}]
    assert [row["step"] for row in history(read_records(second))] == [2, 3]
    (run_record,) = [r.run for r in records if r.WhichOneof("record_type") == "run"]
    assert (run_record.project, run_record.entity, run_record.run_id) == ("lab", "team", "uid-1")
    config = {
        item.key or "/".join(item.nested_key): item.value_json for item in run_record.config.update
    }
    assert config["optimizer.learningRate"] == "0.0003"
    assert [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"] == [0]


def test_online_gets_key_and_address_from_secret_and_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "credentials" / "tracker"
    secret.mkdir(parents=True)
    (secret / SECRET_WANDB_API_KEY).write_text("k" * 40 + "\n")
    given: dict[str, Any] = {}

    def init(**arguments: Any) -> MagicMock:
        given.update(arguments)
        return MagicMock()

    monkeypatch.setattr(wandb, "init", init)
    address = "https://wandb.example.com"
    tracking = WandbTracking(project="lab", credentials_secret="tracker", base_url=address)
    WandbRuns(build_beginning(tmp_path), tracking).open()
    assert (given["mode"], given["resume"], given["id"]) == ("online", "allow", "uid-1")
    assert (given["settings"].api_key, given["settings"].base_url) == ("k" * 40, address)
