"""Preflight of the data: first and random records of each source, in seconds."""

from trainwright_api.run import Run

from trainwright_trainer.settings import Settings


def check_sources(run: Run, settings: Settings) -> None:
    """Read the first and some random records of every source.

    Called on rank 0 before anything heavy. Raises UserError with the path in the spec, what was
    found, what is expected and the remedy.
    """
    raise NotImplementedError
