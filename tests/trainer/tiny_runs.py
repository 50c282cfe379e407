"""Small runs over real text (the standard library's own sources) for tests that train."""

import shutil
from pathlib import Path
from typing import Any

from trainwright_api.data import Location, TrainedTokenizer
from trainwright_api.run import Run, RunModel, RunOutput, RunTokenizer
from trainwright_api.training import Budget, Optimizer, Precision

from tests.trainer.run_builder import build_run, source

SOURCES = ("argparse", "datetime", "typing")
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
# The demo's model.
DEMO = {
    "hidden_size": 448,
    "intermediate_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 7,
}


def write_text(folder: Path) -> Path:
    """Write a few of the standard library's modules and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(shutil.__file__).parent
    for name in SOURCES:
        shutil.copy(library / f"{name}.py", folder)
    return folder


def tiny_run(folder: Path, **changes: Any) -> Run:
    """Return a run that trains in seconds; everything it reads and writes is in a folder.

    Runs that train at the same time read the same text and have a `store` each, as any runs do.
    """
    text = folder / "text"
    if not text.exists():
        write_text(text)
    store = Location(uri=f"file://{changes.pop('store', folder / 'store')}/")
    run = build_run(
        source(text),
        folder=store,
        sequence_length=changes.pop("sequence_length", 64),
        tokenizer=RunTokenizer(
            train=TrainedTokenizer(vocabulary_size=changes.pop("vocabulary", 512))
        ),
        every_steps=changes.pop("every_steps", 4),
    )
    model = changes.pop("model_config", TINY)
    steps = changes.pop("steps", 8)
    precision = changes.pop("precision", Precision.FP32)
    ranks = changes.pop("ranks", 1)
    micro = changes.pop("micro", 2)
    sequences = changes.pop("sequences", 8)
    stage = changes.pop("stage", 1)
    return run.model_copy(
        update={
            "model": RunModel(architecture="llama", config=model),
            "budget": Budget(steps=steps),
            "batch": run.batch.model_copy(
                update={"global_sequences": sequences, "micro_sequences": micro}
            ),
            "optimizer": Optimizer(learning_rate=1e-3),
            "precision": precision,
            "parallelism": run.parallelism.model_copy(update={"zero_stage": stage}),
            "workers": run.workers.model_copy(update={"processes_per_node": ranks}),
            "output": RunOutput(
                uri=f"{store.uri}model/",
                merge=False,
                sample_prompts=["def main"],
                sample_tokens=4,
            ),
            **changes,
        }
    )
