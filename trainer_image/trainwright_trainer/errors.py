"""The errors of the trainer; each carries the cause that decides what the operator does next.

    TrainerError(message, cause)
    |-- UserError            spec, data or rights: fails at once, the message names the remedy
    |-- StoreError           a store cannot be reached, is full, or breaks: retried
    |   `-- MissingFileError (trainwright_trainer.store) a file is not there
    |-- NumericalError       loss or gradients are not finite: retried from a checkpoint
    |-- PeerLostError        another rank is gone: the end of a group that began elsewhere
    `-- InterruptedRunError  asked to stop (SIGTERM); what was trained is saved

Messages of user errors have the form `spec.path: got X, expected Y; remedy`.
"""

import errno

from trainwright_api.names import Cause

LOST_CONTACT = "lost contact"  # how the message of a PeerLostError begins


_FULL = (errno.ENOSPC, errno.EDQUOT)
# What torch, numpy, the kernel and libraries in other languages say; numpy's errors of a disk have no number.
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
)
_NO_SPACE = ("no space left on device", "disk quota exceeded", "not enough free space")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether there was too little memory, of host or device."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in _NO_MEMORY)


def is_out_of_space(error: BaseException) -> bool:
    """Tell whether a disk was full, whichever library says so."""
    said = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(sign in said for sign in _NO_SPACE)


class TrainerError(Exception):
    """An end of the trainer that it can explain."""

    def __init__(self, message: str, cause: Cause = Cause.UNKNOWN) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the cause when the error travels between ranks."""
        return (_rebuild, (type(self), self.message, self.cause))


class UserError(TrainerError):
    """The user has to change something; trying again would end alike."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Cause.USER_ERROR)


class StoreError(TrainerError):
    """A store failed beyond its retries."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Cause.INFRASTRUCTURE)


class NumericalError(TrainerError):
    """Training has diverged."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Cause.NUMERICAL_FAILURE)


class PeerLostError(TrainerError):
    """A collective failed because another rank has gone; its own end tells why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Cause.INFRASTRUCTURE)


class InterruptedRunError(TrainerError):
    """The run was asked to stop; the message says up to which step it is saved."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Cause.PREEMPTED)


def _rebuild(kind: type[TrainerError], message: str, cause: Cause) -> TrainerError:
    error = kind.__new__(kind)
    TrainerError.__init__(error, message, cause)
    return error
