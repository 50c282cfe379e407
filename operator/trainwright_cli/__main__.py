"""The entry point of `trainwright` and `kubectl trainwright`: errors in, exit codes out."""

import sys
import traceback
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import click

from trainwright_cli.app import app
from trainwright_cli.errors import ExitCode
from trainwright_cli.settings import read_settings

PLUGIN_PROGRAM = "kubectl-trainwright"


def main() -> None:
    """Run the command line and end the process; never shows a traceback unless asked for."""
    show_what_the_terminal_can(sys.stdout, sys.stderr)
    sys.exit(run(sys.argv))


def show_what_the_terminal_can(*streams: TextIO) -> None:
    """Let a character that the locale lacks come out as another one: a log or a bar is no reason to fail."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    program = Path(argv[0]).name
    name = "kubectl trainwright" if program == PLUGIN_PROGRAM else "trainwright"
    try:
        code = app.main(argv[1:], prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):  # of a terminal that was closed
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return ExitCode.OK
    except OSError as error:  # a full disk, a folder that may not be written to
        if read_settings().is_debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return ExitCode.FAILED
    except Exception as error:  # the edge: whatever is left is a defect of ours
        if read_settings().is_debug:
            traceback.print_exc()
        name = type(error).__name__
        _say(f"error: unexpected {name}: {error}; set TRAINWRIGHT_DEBUG=1 to see where")
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.OK


def _say(text: str) -> None:
    """Print on stderr; where that is gone, the exit code tells."""
    with suppress(OSError):
        click.echo(text, err=True)


if __name__ == "__main__":
    main()
