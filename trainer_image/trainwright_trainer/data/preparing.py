"""From sources to packed sequences, once per node."""

from trainwright_api.run import Run
from transformers import PreTrainedTokenizerFast

from trainwright_trainer.data.batch import PreparedData
from trainwright_trainer.settings import Settings


def prepare_data(
    run: Run, tokenizer: PreTrainedTokenizerFast, settings: Settings
) -> PreparedData:
    """Tokenize, split and pack the sources of a run; local ranks share one copy on scratch.

    Called by every rank before weights load; the first on a node works, the others wait for it.
    Raises UserError naming source, file, row and field for data that cannot be trained on.
    """
    raise NotImplementedError
