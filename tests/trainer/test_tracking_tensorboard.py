"""Event files as TensorBoard reads them: attempts follow each other, files stay small, texts are texts."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainwright_api.names import Outcome
from trainwright_api.status import GeneratedSample
from trainwright_trainer.tracking.sink import Ending
from trainwright_trainer.tracking.tensorboard_files import TensorBoardFiles

from tests.ports import free_port
from tests.tensorboard_page import read_loss_steps
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run
from tests.trainer.tracking_builder import build_beginning, build_points

ENDING = Ending(Outcome.SUCCEEDED, 9, [GeneratedSample(prompt="Once", before="a", after="b")])


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "store" / "tensorboard"))
    accumulator.Reload()
    return accumulator


def names(folder: Path) -> list[str]:
    paths = sorted((folder / "store" / "tensorboard").iterdir())
    return [path.name.partition(".attempt-")[2] for path in paths]


def test_the_next_attempt_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    first = TensorBoardFiles(build_beginning(tmp_path))
    first.open()
    first.deliver(build_points(range(1, 7)))
    first.save()  # then it is killed
    run = build_run().model_copy(update={"attempt": 2})
    second = TensorBoardFiles(build_beginning(tmp_path, run, first_step=4))
    second.open()
    second.deliver(build_points(range(5, 10), offset=0.5))
    second.close(ENDING)
    found = {event.step: event.value for event in read(tmp_path).Scalars("train/loss")}
    assert found == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5.5, 6: 6.5, 7: 7.5, 8: 8.5, 9: 9.5}
    assert names(tmp_path) == ["1.0001", "2.0001"]


def test_a_large_file_is_followed_by_another_and_uploaded_once(tmp_path: Path) -> None:
    files = TensorBoardFiles(build_beginning(tmp_path), largest_file_bytes=200)
    files.open()
    for point in build_points(range(1, 9)):
        files.deliver([point])
    files.save()
    store = tmp_path / "store" / "tensorboard"
    assert len(names(tmp_path)) > 2
    before = {path.name: path.stat().st_ino for path in store.iterdir()}
    files.deliver(build_points([9]))
    files.close(ENDING)
    changed = {path.name for path in store.iterdir() if path.stat().st_ino != before.get(path.name)}
    assert changed == {max(before)}
    assert [event.step for event in read(tmp_path).Scalars("train/loss")] == list(range(1, 10))


def test_samples_are_texts_before_and_after(tmp_path: Path) -> None:
    files = TensorBoardFiles(build_beginning(tmp_path))
    files.open()
    files.close(ENDING)
    found = read(tmp_path)
    texts = {
        tag: (event.step, event.tensor_proto.string_val[0].decode())
        for tag in found.Tags()["tensors"]
        for event in found.Tensors(tag)
    }
    assert texts == {
        "samples/before/0/text_summary": (0, "**Once**\n\na"),
        "samples/after/0/text_summary": (9, "**Once**\n\nb"),
    }


def test_the_cli_shows_what_is_there_and_what_comes(tmp_path: Path) -> None:
    files = TensorBoardFiles(build_beginning(tmp_path))
    files.open()
    files.deliver(build_points([1, 2]))
    files.save()
    port = free_port()
    with shown(tmp_path / "store" / "tensorboard", port):
        wait_until(lambda: read_loss_steps(port, "gpt") == [1, 2])
        files.deliver(build_points([3]))
        files.save()
        wait_until(lambda: read_loss_steps(port, "gpt") == [1, 2, 3])


@contextmanager
def shown(folder: Path, port: int) -> Iterator[None]:
    """`logs --tensorboard` on a folder, as a process that Ctrl+C ends."""
    code = (
        "import sys; from trainwright_cli.event_files import show_events; "
        "from trainwright_cli.stores import open_folder; "
        "show_events(open_folder(sys.argv[1]), 'gpt', lambda: True, int(sys.argv[2]), 0.2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), str(port)])
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_SECONDS) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
