"""What is said when a checkpoint cannot be converted; that it can, test_resume shows."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from trainwright_api.names import Cause
from trainwright_trainer import resharding
from trainwright_trainer.errors import StoreError, TrainerError


@pytest.mark.parametrize(
    ("said", "error", "cause", "words"),
    [
        (
            "OSError: [Errno 28] No space left on device",
            StoreError,
            Cause.INFRASTRUCTURE,
            r"spec\.workers\.resources\.ephemeral-storage: got .*; request more",
        ),
        ("KeyError: 'step'", TrainerError, Cause.UNKNOWN, r"cannot be converted .*\s+KeyError"),
    ],
)
def test_a_conversion_that_fails_tells_a_full_disk_from_a_defect(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    error: type[TrainerError],
    cause: Cause,
    words: str,
) -> None:
    done = SimpleNamespace(returncode=1, stderr=f"Traceback\n{said}\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(error, match=words) as refused:
        resharding.reshard(tmp_path, "engine")
    assert refused.value.cause is cause
