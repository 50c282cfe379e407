"""What the workers of the trainer's tests have in common: runs set up one after another in one process."""

import shutil
from collections.abc import Iterable, Iterator

from trainwright_api.run import Run
from trainwright_trainer.build import build_run
from trainwright_trainer.distributed import join_group
from trainwright_trainer.preflight import prepare_run
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import read_settings
from trainwright_trainer.train import Trainer


def set_up_trainers(runs: Iterable[Run]) -> Iterator[Trainer]:
    """Yield each run's trainer, ready for its first step.

    The runs share one process group, since joining and importing take longer than training does.
    """
    settings, group = read_settings(), None
    for run in runs:
        group = group or join_group(run, settings)
        trainer = Trainer(run, settings, Reporter(run, settings))
        prepared = prepare_run(run, settings, group, trainer.reporter)
        trainer.set_up(prepared, build_run(prepared, group, trainer.reporter), group)
        yield trainer
        group.barrier()
    shutil.rmtree(settings.scratch_folder, ignore_errors=True)
