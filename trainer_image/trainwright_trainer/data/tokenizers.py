"""Tokenizers: loaded from a folder, or trained from the run's own data and kept with the run."""

from pathlib import Path

from trainwright_api.run import Run
from transformers import PreTrainedTokenizerFast

from trainwright_trainer.groups import Group
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store


def load_tokenizer(
    folder: Path, *, field: str, gguf_file: str | None = None
) -> PreTrainedTokenizerFast:
    """Load a tokenizer of transformers from a local folder (or from a GGUF file in it).

    `field` is the path of the folder's location in the spec. Raises UserError if there is none, or
    one without an end-of-text token.
    """
    raise NotImplementedError


def train_tokenizer(run: Run, settings: Settings) -> PreTrainedTokenizerFast:
    """Train a tokenizer from the run's data; the same data gives the same tokenizer."""
    raise NotImplementedError


def obtain_trained_tokenizer(
    run: Run, store: Store, settings: Settings, group: Group
) -> PreTrainedTokenizerFast:
    """Return the tokenizer that belongs to the run; collective over all ranks.

    Rank 0 loads it from `tokenizer/` in the run's folder, or trains it and stores it there; the
    others load what rank 0 stored. `store` is the run's folder.
    """
    raise NotImplementedError
