"""TensorBoard's event files, written to scratch and copied to `<run folder>/tensorboard/`.

One file per attempt, as TensorBoard expects: an attempt's file begins with a session that takes back
the steps after the checkpoint it goes on from. A file that has grown large is followed by another, so
that a copy stays small.
"""

import shutil
import time
from collections.abc import Iterable, Sequence

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import text
from trainwright_api.names import TENSORBOARD_FOLDER

from trainwright_trainer.tracking.sink import Beginning, Ending, Point, Sink

LARGEST_FILE_BYTES = 8 << 20
_FRAME_BYTES = 16  # of a record: its length and two checksums


class TensorBoardFiles(Sink):
    """The event files of one attempt."""

    name = "TensorBoard"

    def __init__(self, beginning: Beginning, largest_file_bytes: int = LARGEST_FILE_BYTES) -> None:
        self._beginning, self._largest_file_bytes = beginning, largest_file_bytes
        self._folder = beginning.scratch_folder / TENSORBOARD_FOLDER
        self._num_files = 0
        self._uploaded_bytes: dict[str, int] = {}

    def open(self) -> None:
        """See Sink."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._open_file()
        first_step = self._beginning.first_step
        session = SessionLog(status=SessionLog.START)
        self._write(Event(session_log=session, step=first_step + 1))
        if first_step == 0 or self._beginning.run.attempt == 1:
            prompts = self._beginning.run.output.sample_prompts
            before = zip(prompts, self._beginning.samples_before, strict=False)
            self._write_texts("samples/before", before, first_step)

    def deliver(self, points: Sequence[Point]) -> None:
        """See Sink."""
        for point in points:
            values = [
                Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()
            ]
            self._write(Event(summary=Summary(value=values), step=point.step), point.time)
        self._writer.flush()
        if self._file_bytes > self._largest_file_bytes:
            self._writer.close()
            self._open_file()

    def save(self) -> None:
        """Copy the files that have grown since the last time; raises StoreError."""
        self._writer.flush()
        for path in sorted(self._folder.iterdir()):
            size = path.stat().st_size
            if self._uploaded_bytes.get(path.name) != size:
                self._beginning.store.upload(path, f"{TENSORBOARD_FOLDER}/{path.name}")
                self._uploaded_bytes[path.name] = size

    def close(self, ending: Ending) -> None:
        """See Sink."""
        after = ((sample.prompt, sample.after) for sample in ending.samples)
        self._write_texts("samples/after", after, ending.step)
        self.save()
        self._writer.close()

    def _write_texts(self, tag: str, texts: Iterable[tuple[str, str | None]], step: int) -> None:
        for number, (prompt, completion) in enumerate(texts):
            if completion is not None:
                shown = f"**{prompt}**\n\n{completion}"
                self._write(Event(summary=text(f"{tag}/{number}", shown), step=step))

    def _write(self, event: Event, at: float | None = None) -> None:
        event.wall_time = time.time() if at is None else at
        self._writer.write_event(event)
        self._file_bytes += event.ByteSize() + _FRAME_BYTES

    def _open_file(self) -> None:
        """Begin a file; its name, which starts with the time, sorts after those of earlier attempts."""
        self._num_files += 1
        suffix = f".attempt-{self._beginning.run.attempt}.{self._num_files:04d}"
        self._writer = EventsWriter(str(self._folder / "events"), suffix)
        self._file_bytes = 0
