"""The CLI's errors and exit codes; every error is one line that ends with a remedy.

CliError                 1  something failed
  InvalidManifestError   2  a manifest is invalid (wrong usage also ends with 2)
  NotFoundError          3  the cluster or folder has no such thing
  UnreachableError       4  no answer from the cluster, one that says to ask later, or no right to ask
    NotAllowedError      4  no right to ask; to ask again is no use
  RunFailedError         5  the command worked, the run it watched or started failed
  InterruptedRunError  130  Ctrl+C
"""

from enum import IntEnum
from typing import IO, Any, ClassVar

import click


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    FAILED = 1
    INVALID = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    RUN_FAILED = 5
    INTERRUPTED = 130


EXIT_CODES_HELP = (
    "Exit codes: 0 done, 1 failed, 2 invalid manifest or usage, 3 not found, 4 cluster unreachable, "
    "5 the run failed, 130 interrupted."
)


class CliError(click.ClickException):
    """An error that is shown as one line on stderr."""

    exit_code: ClassVar[int] = ExitCode.FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, as click does with its own errors."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class InvalidManifestError(CliError):
    """A manifest that the API server would refuse, or a run that cannot be laid out."""

    exit_code: ClassVar[int] = ExitCode.INVALID


class NotFoundError(CliError):
    """The cluster or folder has no such thing."""

    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class UnreachableError(CliError):
    """No answer from the cluster, one that says to ask later (429, 5xx), or no right to ask."""

    exit_code: ClassVar[int] = ExitCode.UNREACHABLE


class NotAllowedError(UnreachableError):
    """No right to ask; unlike silence, that does not pass by itself."""


class RunFailedError(CliError):
    """The run ended without success."""

    exit_code: ClassVar[int] = ExitCode.RUN_FAILED


class InterruptedRunError(CliError):
    """The user stopped the run with Ctrl+C."""

    exit_code: ClassVar[int] = ExitCode.INTERRUPTED
