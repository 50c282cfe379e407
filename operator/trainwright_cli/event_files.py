"""TensorBoard on a run's event files: fetched from the store into a folder, and refreshed while the run lives.

Used by `logs --tensorboard`. TensorBoard is an extra of this distribution and runs as a program of its
own.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from trainwright_cli.errors import CliError, NotAllowedError, NotFoundError, UnreachableError
from trainwright_cli.stores import Folder

REFRESH_SECONDS = 10.0
CHUNK_BYTES = 1 << 20
INSTALL = "pip install tensorboard"


def check_tensorboard() -> None:
    """Raise CliError with the remedy if TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise CliError(f"TensorBoard is not installed; run {INSTALL}")


def fetch_new_events(source: Folder, target: Path) -> int:
    """Bring a folder of event files up to date; return how many bytes were new.

    Files only ever grow, and TensorBoard keeps them open: what is new is appended. One file is complete
    before the next appears, as TensorBoard never goes back.
    """
    target.mkdir(parents=True, exist_ok=True)
    num_bytes = 0
    for path, size in sorted(source.list_sizes().items()):
        local = target / Path(path).name
        there = local.stat().st_size if local.exists() else 0
        if size > there:
            num_bytes += _append(source, path, local, there)
    return num_bytes


def _append(source: Folder, path: str, local: Path, there: int) -> int:
    num_bytes = 0
    with source.open(path) as stream, local.open("ab") as file:
        stream.read(there)
        while chunk := stream.read(CHUNK_BYTES):
            num_bytes += file.write(chunk)
    return num_bytes


def show_events(
    source: Folder,
    name: str,
    is_live: Callable[[], bool],
    port: int | None = None,
    refresh_seconds: float = REFRESH_SECONDS,
) -> None:
    """Run TensorBoard on the event files of a run until the user ends it.

    Raises CliError if it ends by itself, NotFoundError if a run that is over has no event files.
    """
    with TemporaryDirectory(prefix="trainwright-tensorboard-") as folder:
        target = Path(folder) / name
        live = is_live()
        if not fetch_new_events(source, target) and not live:
            raise NotFoundError(f"{source.uri} has no event files; see `trainwright status {name}`")
        process = subprocess.Popen(build_command(Path(folder), port))
        try:
            with suppress(KeyboardInterrupt):
                _refresh(process, source, target, is_live, refresh_seconds)
                raise CliError(f"TensorBoard ended with {process.returncode}; its message is above")
        finally:
            process.terminate()
            process.wait()


def build_command(folder: Path, port: int | None) -> list[str]:
    """Return TensorBoard's command; without a port it takes 6006 or the next that is free."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--reload_interval", "5"]
    return command if port is None else [*command, "--port", str(port)]


def _refresh(
    process: subprocess.Popen[bytes],
    source: Folder,
    target: Path,
    is_live: Callable[[], bool],
    seconds: float,
) -> None:
    """Fetch what is new until TensorBoard ends, and once more after the run has.

    A cluster or store that is away for a while ends nothing.
    """
    live = True
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        if live and process.returncode is None:
            try:
                goes_on = is_live()
                fetch_new_events(source, target)
                live = goes_on
            except UnreachableError as error:
                if isinstance(error, NotAllowedError):
                    raise
                click.echo(f"{error.format_message()}; trying again", err=True)
