"""The file of a report: whole or not at all, in UTF-8, with the mode that it should have."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from types import SimpleNamespace

import pytest
from trainwright_cli.cluster import Cluster
from trainwright_cli.report.writing import write_whole
from trainwright_cli.runs import parse_run

from tests.unit.cli.manifests import a_training_run, invoke

SCRIPT = (
    "import sys; from pathlib import Path; from trainwright_cli.report.writing import write_whole; "
)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """As on a full disk, a write fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mode_of(path: Path) -> int:
    return S_IMODE(path.stat().st_mode)


def test_a_page_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT + "write_whole(Path(sys.argv[1]), '85 \\xb0C \\u2603')",
            page,
        ],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        check=True,
    )
    assert page.read_text("utf-8") == "85 °C ☃"


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_page_has_the_mode_of_the_umask(tmp_path: Path, mask: int, expected: int) -> None:
    page = tmp_path / "page.html"
    with umask(mask):
        write_whole(page, "text")
    assert mode_of(page) == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_page_that_is_replaced_keeps_its_mode_and_its_link(tmp_path: Path, mode: int) -> None:
    page, link = tmp_path / "page.html", tmp_path / "newest.html"
    page.write_text("old")
    page.chmod(mode)
    link.symlink_to(page.name)
    with umask(0o022):
        write_whole(link, "new")
    assert (page.read_text(), mode_of(page), link.is_symlink()) == ("new", mode, True)


def test_a_page_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        write_whole(page, "x" * 100_000)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "old"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert os.read(reader, 100) == b"text"
        assert pipe.is_fifo()
    finally:
        os.close(reader)


def test_a_run_on_a_pvc_has_a_page_without_curves_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = a_training_run("gpt")
    manifest["spec"]["checkpoints"]["store"] = {"uri": "pvc://claim/runs/"}
    view = parse_run(manifest | {"status": {"phase": "Succeeded"}})
    cluster = SimpleNamespace(fetch_run=lambda wanted: view)
    monkeypatch.setattr(Cluster, "connect", lambda target: cluster)
    page = tmp_path / "run.html"
    done = invoke("report", "gpt", "-o", str(page))
    assert (done.exit_code, done.stdout) == (0, f"wrote {page}\n")
    assert done.stderr.startswith(
        "warning: TrainingRun/gpt has no curves on the page: its store, a"
    )
    assert "default/gpt" in page.read_text("utf-8")
