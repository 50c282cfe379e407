"""What errors of libraries mean for the operator."""

import pytest
from trainwright_api.names import Cause
from trainwright_trainer.rank import classify

OUT_OF_MEMORY = [
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
]
OUT_OF_SPACE = [
    OSError(28, "No space left on device"),
    RuntimeError('Error while serializing: IoError(Os { message: "No space left on device" })'),
]
CASES = [
    *((error, Cause.OUT_OF_MEMORY, "raise the memory") for error in OUT_OF_MEMORY),
    *((error, Cause.INFRASTRUCTURE, "request more ephemeral-storage") for error in OUT_OF_SPACE),
    (RuntimeError("Connection closed by peer"), Cause.INFRASTRUCTURE, "lost contact"),
    (ValueError("surprise"), Cause.UNKNOWN, "ValueError: surprise"),
]


@pytest.mark.parametrize(("error", "cause", "words"), CASES, ids=lambda value: str(value)[:30])
def test_an_errors_cause(error: Exception, cause: Cause, words: str) -> None:
    known = classify(error)
    assert known.cause is cause
    assert words in known.message
