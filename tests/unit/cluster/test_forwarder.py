"""What is said where the way into a cluster is shut."""

import socket
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cluster import __main__ as command
from tests.cluster.errors import NotReadyError
from tests.cluster.forwarder import request_forward


def test_a_forwarder_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"gone: the cluster's forwarder does not answer"):
        request_forward(tmp_path / "gone", "10.96.0.1", 443)


def test_a_forwarder_that_ends_before_it_answers_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listener.listen()
        hangs_up = threading.Thread(target=lambda: listener.accept()[0].close())
        hangs_up.start()
        with pytest.raises(NotReadyError, match="start the cluster anew"):
            request_forward(Path("socket"), "10.96.0.1", 443)
        hangs_up.join()


@pytest.mark.parametrize("address", ["10.96.0.1", "10.96.0.1:", ":443", "a:0", "a:65536", "a:²"])
def test_an_address_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "check_machine", lambda: None)
    done = CliRunner().invoke(command.main, ["forward", address])
    assert done.exit_code == 2
    assert "expected HOST:PORT" in done.output
