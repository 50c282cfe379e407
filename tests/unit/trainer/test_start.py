"""The first moments of a pod's first process."""

import signal
import subprocess
import sys

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
