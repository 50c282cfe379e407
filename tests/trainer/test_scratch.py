"""What is taken for a full scratch disk, whichever library says so."""

import errno
from pathlib import Path

import pytest
from trainwright_trainer.errors import StoreError
from trainwright_trainer.scratch import build_once

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("Not enough free space to write 400000000 bytes"),  # numpy's, which has no number
]
OTHERS = [OSError(errno.EIO, "Input/output error"), OSError("of a library")]


@pytest.mark.parametrize("error", FULL + OTHERS, ids=str)
def test_a_folder_that_cannot_be_built_tells_a_full_disk_from_another_error(
    tmp_path: Path, error: OSError
) -> None:
    def fail(_: Path) -> None:
        raise error

    with pytest.raises(OSError if error in OTHERS else StoreError) as raised:
        build_once(tmp_path / "data" / "folder", fail)
    if error in OTHERS:
        assert raised.value is error
    else:
        assert "ephemeral-storage: got" in str(raised.value)
