"""One rank of a group of real processes that saves or resumes; started by the tests.

Usage: checkpoint_worker RUN.json SETTINGS.json RANK WORLD_SIZE RENDEZVOUS_FILE PLAN...

A plan is a list of words: `save:STEP`, `resume`, `half:STEP` (save, but stop for ever in the middle
of this rank's second upload), `fail:STEP` (this rank's uploads fail). What is seen goes to stdout,
one JSON object a word.
"""

import json
import sys
import time
from pathlib import Path

import torch.distributed as dist
from trainwright_api.run import Run
from trainwright_trainer.checkpoint import CheckpointManager, uploading
from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.groups import TorchGroup
from trainwright_trainer.settings import Settings

from tests.trainer.checkpoint_harness import is_whole, open_manager, shard_writer, state_of


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Worker:
    def __init__(self, manager: CheckpointManager, rank: int) -> None:
        self.manager, self.rank = manager, rank

    def do(self, word: str) -> None:
        verb, _, step = word.partition(":")
        getattr(self, verb)(int(step or 0))

    def save(self, step: int) -> None:
        self.manager.save(state_of(step), shard_writer(step, self.rank))
        try:
            self.manager.wait(60)
            error = None
        except StoreError as failure:
            error = str(failure)
        steps = [record.step for record in self.manager.records]
        say(saved=step, error=error, records=steps)

    def half(self, step: int) -> None:
        real = self.manager._store.upload
        uploads: list[str] = []

        def upload(local: Path, path: str) -> None:
            uploads.append(path)
            if len(uploads) == (2 if self.rank == 0 else 1):
                say(half=step)
                time.sleep(600)
            real(local, path)

        self.manager._store.upload = upload  # type: ignore[method-assign]
        self.manager.save(state_of(step), shard_writer(step, self.rank))
        self.manager.wait(600)

    def fail(self, step: int) -> None:
        real = self.manager._store.upload

        def upload(local: Path, path: str) -> None:
            raise StoreError("no space left in the store")

        if self.rank == 1:
            self.manager._store.upload = upload  # type: ignore[method-assign]
        self.save(step)
        self.manager._store.upload = real  # type: ignore[method-assign]

    def resume(self, _: int) -> None:
        try:
            point = self.manager.find_resume()
            fetched = self.manager.fetch(point, self._wants) if point else None
        except TrainerError as error:
            say(resumed=None, error=str(error))
            return
        if fetched is None:
            say(resumed=None, warnings=self.manager.warnings)
            return
        files = sorted(path.name for path in fetched.folder.rglob("*.pt"))
        whole = is_whole(fetched, self.rank)
        self.manager.release(fetched)
        say(
            resumed=fetched.point.manifest.step,
            whole=whole,
            files=files,
            warnings=self.manager.warnings,
            gone=not fetched.folder.exists(),
        )

    def _wants(self, path: str) -> bool:
        return "rank_" not in path or f"rank_{self.rank}_" in path


def main() -> None:
    run_file, settings_file, rank, world_size, rendezvous, *plan = sys.argv[1:]
    uploading.UPLOAD_PAUSES_SECONDS = (0.0,)
    run = Run.model_validate_json(Path(run_file).read_text())
    folders = json.loads(Path(settings_file).read_text())
    settings = Settings(**{name: Path(folder) for name, folder in folders.items()})
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size)
    )
    group = TorchGroup(None, rank=int(rank), local_rank=int(rank), world_size=int(world_size))
    worker = Worker(open_manager(run, settings, group), int(rank))
    for word in plan:
        worker.do(word)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
