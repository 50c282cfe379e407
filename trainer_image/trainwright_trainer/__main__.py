"""The pod's first process: `python -m trainwright_trainer --run FILE`.

It starts the ranks of this pod and stays small itself; see `launcher`. Exit codes: 0 the run is
finished, 2 the user has to change something, 143 it was asked to stop and has saved, 1 anything else.
"""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

_STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Run the ranks of this pod to their end and return the exit code."""
    signal.signal(signal.SIGTERM, _end_early)
    # Imported only now: this takes seconds on a busy node, and a container's first process is not
    # ended by a signal that it does not handle; a deleted pod would stay for its whole grace.
    from trainwright_api import names

    from trainwright_trainer.launcher import launch
    from trainwright_trainer.settings import read_settings

    parser = argparse.ArgumentParser(prog="trainwright_trainer", description=__doc__)
    parser.add_argument(
        "--run",
        type=Path,
        default=Path(names.RUN_FILE),
        help=f"resolved run, default {names.RUN_FILE}",
    )
    return launch(parser.parse_args().run, read_settings())


def _end_early(_number: int, _frame: FrameType | None) -> None:
    """Stop as asked before there is any rank, when there is nothing to save."""
    sys.exit(_STOPPED)


if __name__ == "__main__":
    sys.exit(main())
