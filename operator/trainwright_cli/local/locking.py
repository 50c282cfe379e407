"""One training of a run at a time in a work folder: a lock of the file system on a file in the run's own folder.

`trainer` lets the trainer inherit it, so that one that outlives the CLI still keeps others away; the demo
takes it before it deletes a run. Nothing is left to clean up: the lock goes with its last holder.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from trainwright_cli.errors import CliError
from trainwright_cli.local.folders import Folders


@contextmanager
def hold_lock(folders: Folders) -> Iterator[BinaryIO]:
    """Keep the run's folders for this process, and for those that inherit the open file.

    Raises CliError if another process has them. Where the file system has no locks, it warns and goes on.
    """
    folders.own.mkdir(parents=True, exist_ok=True)
    with folders.lock_file.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CliError(_describe_holder(folders, file)) from error
        except OSError as error:
            click.echo(
                f"warning: {folders.lock_file} cannot be locked ({error.strerror}): see yourself that the run is "
                "not trained twice at a time",
                err=True,
            )
        file.truncate(0)
        yield file


def write_holder(file: BinaryIO, pid: int) -> None:
    """Note the process to end for the lock to go, for the message to the next that wants it."""
    file.write(str(pid).encode())
    file.flush()


def _describe_holder(folders: Folders, file: BinaryIO) -> str:
    file.seek(0)
    pid = file.read().decode()
    # Only "may": the process can be one of another container, or machine, that shares the folder.
    holder, end_it = "another process", "wait for its end"
    if pid:
        holder = f"another process, which may be the trainer {pid}"
        end_it += f", or let it save and end with `kill {pid}`"
    return (
        f"{folders.lock_file}: got a lock of {holder}, expected none, as two trainings would delete each "
        f"other's files; {end_it}, or use another metadata.name or --work-dir"
    )
