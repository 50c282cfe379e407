"""What the CLI asks of a trainer on this machine, when the trainer ends meanwhile."""

import socket
import subprocess
import threading
from pathlib import Path

import pytest
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.trainer import Trainer

ANSWERS = {
    "whole": (b"HTTP/1.1 200 OK\r\n\r\n" + b'{"attempt": 1, "sequence": 7}', 7),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", None),
    "half a head": (b"HTT", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_breaks_off_is_none(name: str, tmp_path: Path) -> None:
    answer, expected = ANSWERS[name]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    process = subprocess.Popen(["true"])
    trainer = Trainer(process, listener.getsockname()[1], Folders(tmp_path, "default", "gpt"))
    report = trainer.fetch_report()
    assert (report.sequence if report else None) == expected
    process.wait()
    thread.join(5)
    listener.close()
