"""The first moments of a pod's first process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api.data import Location
from trainwright_api.names import Cause
from trainwright_trainer import rank
from trainwright_trainer.outcome import outcome_file, read_outcome

from tests.trainer.run_builder import build_run, source

ASKED_TO_STOP_WHILE_IMPORTING = """
import os, signal, sys
import trainwright_trainer.__main__ as program

assert "pydantic" not in sys.modules


class Importing:
    def find_spec(self, name, *_):
        if name == "trainwright_api.names":
            os.kill(os.getpid(), signal.SIGTERM)


signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as for a container's first process
sys.meta_path.insert(0, Importing())
sys.exit(program.main())
"""


def test_a_pod_that_is_deleted_while_it_imports_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED_TO_STOP_WHILE_IMPORTING],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr


def test_a_trainer_that_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    run_file = tmp_path / "run.json"
    run_file.write_text(build_run(source("file:///data/")).model_dump_json())
    monkeypatch.setattr(rank, "_build_trainer", fail)
    monkeypatch.setattr(sys, "argv", ["rank", "--run", str(run_file)])
    monkeypatch.setenv("TRAINWRIGHT_SCRATCH_FOLDER", str(tmp_path))
    monkeypatch.setenv("TRAINWRIGHT_LOCAL_RANK", "1")  # which serves no pages
    monkeypatch.setenv("TRAINWRIGHT_RANK", "1")
    assert rank.main() == 1
    told = read_outcome(outcome_file(tmp_path, 1))
    assert told is not None
    assert (told.cause, told.rank) == (Cause.UNKNOWN, 1)
    assert told.message == (
        "the trainer could not be started: ImportError: libcudart.so.13: cannot open shared object file"
    )


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("file:///proc/store/", "spec.checkpoints.store.uri: got file:///proc/store"),
        ("file://{folder}/store/", "spec.data.sources[0].uri: got file:///"),
    ],
)
def test_a_store_and_then_data_are_told_before_anything_heavy_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, told: str
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("torch would be imported")

    location = Location(uri=store.format(folder=tmp_path))
    run_file = tmp_path / "run.json"
    run_file.write_text(build_run(source(tmp_path / "nothing"), folder=location).model_dump_json())
    monkeypatch.setattr(rank, "_build_trainer", fail)
    monkeypatch.setattr(sys, "argv", ["rank", "--run", str(run_file)])
    monkeypatch.setenv("TRAINWRIGHT_SCRATCH_FOLDER", str(tmp_path))
    monkeypatch.setenv("TRAINWRIGHT_LOCAL_RANK", "1")  # which serves no pages
    assert rank.main() == 2
    message = read_outcome(outcome_file(tmp_path, 0))
    assert message is not None
    assert message.cause is Cause.USER_ERROR
    assert message.message.startswith(told)


def test_the_report_and_the_first_look_import_nothing_heavy() -> None:
    code = (
        "import sys, trainwright_trainer.access, trainwright_trainer.report; print([n for n in ('torch', 'transformers', 'deepspeed') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
