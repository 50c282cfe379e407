"""A first look at what a run reads and writes: what a user has to mend most often is there.

It takes seconds and comes before the imports that take longer: to import this imports neither torch nor
transformers.
"""

from trainwright_api.run import Run

from trainwright_trainer.data import check_sources
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store


def open_stores(run: Run, settings: Settings) -> tuple[Store, Store]:
    """Return the stores of the run's checkpoints and of its finished model. Raises UserError for a bad URI."""
    store = open_store(run.checkpoints.folder, settings, field="spec.checkpoints.store")
    output = run.checkpoints.folder.model_copy(update={"uri": run.output.uri})
    return store, open_store(output, settings, field="spec.output")


def check_access(run: Run, settings: Settings) -> None:
    """Write to the stores and read records of every source; called on rank 0.

    The stores come first: sources take over what they do not say themselves, such as a Secret, from the
    checkpoints' store. Raises UserError with the path in the spec, what was found, what is expected and the
    remedy; StoreError if a store cannot be reached.
    """
    for store in open_stores(run, settings):
        store.check_writable()
    check_sources(run, settings)
