"""One rank of a group of real processes that saves or resumes; started by the tests.

Usage: checkpoint_worker RUN.json SETTINGS.json RANK WORLD_SIZE RENDEZVOUS_FILE PLAN...

A plan is a list of words; each that tells something prints a JSON object to stdout.

    resume       begin an attempt: a new manager, find, fetch, release
    save:STEP    save and wait for the end of the upload
    half:STEP    save, but stop for ever in the middle of this rank's uploads
    fail:STEP    save while the uploads of rank 1 fail
    flip:STEP    rank 0 changes a bit of rank 1's shard in the store
    lock         rank 0's credentials become wrong
"""

import json
import sys
import time
from pathlib import Path

import torch.distributed as dist
from trainwright_api.run import Run
from trainwright_trainer.checkpoint import uploading
from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.groups import Group, TorchGroup
from trainwright_trainer.settings import Settings

from tests.trainer.checkpoint_harness import is_whole, open_manager, shard_writer, state_of


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Worker:
    def __init__(self, run: Run, settings: Settings, group: Group) -> None:
        self.run, self.settings, self.group = run, settings, group
        self.rank = group.rank
        self.manager = open_manager(run, settings, group)

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

    def flip(self, step: int) -> None:
        if self.rank == 0:
            path = f"step-{step:06d}/engine/rank_1_optim_states.pt"
            content = bytearray(self.manager._store.read_bytes(path))
            content[7] ^= 128
            self.manager._store.write_bytes(path, bytes(content))
        self.group.barrier()

    def lock(self, _: int) -> None:
        if self.rank == 0:
            secret = self.settings.credentials_folder / "s3" / "AWS_SECRET_ACCESS_KEY"
            secret.write_text("other")
        self.group.barrier()

    def resume(self, _: int) -> None:
        self.manager = open_manager(self.run, self.settings, self.group)
        try:
            point = self.manager.find_resume()
            fetched = self.manager.fetch(point, lambda _: self._wants) if point else None
        except TrainerError as error:
            say(resumed=None, error=str(error))
            return
        if fetched is None:
            say(resumed=None, warnings=self.manager.warnings)
            return
        files = sorted(path.name for path in fetched.folder.rglob("*.pt"))
        whole = is_whole(fetched, self.rank)
        self.group.barrier()
        self.manager.release(fetched)
        self.group.barrier()
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
    worker = Worker(run, settings, group)
    for word in plan:
        worker.do(word)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
