"""Builds resolved runs and files of data for tests."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from trainwright_api.data import Location, Packing, Validation
from trainwright_api.resources import Adapter, SFTLoss
from trainwright_api.run import (
    Run,
    RunBatch,
    RunCheckpoints,
    RunData,
    RunModel,
    RunObjective,
    RunOutput,
    RunParallelism,
    RunSource,
    RunTokenizer,
    RunWorkers,
)
from trainwright_api.training import (
    ActivationCheckpointing,
    Budget,
    OffloadDevice,
    Optimizer,
    Precision,
    Schedule,
)


def source(
    uri: str | Path, kind: str = "Text", *, field: str | None = None, **more: Any
) -> RunSource:
    """Return a source; a path becomes a file:// URI."""
    default_field = "messages" if kind in ("Messages", "PromptCompletion") else "text"
    return RunSource(
        uri=f"file://{uri}" if isinstance(uri, Path) else uri,
        format=kind,
        field=field or default_field,
        weight=more.pop("weight", 1.0),
        **more,
    )


def build_run(
    *sources: RunSource,
    folder: Location | None = None,
    sft: SFTLoss | None = None,
    sequence_length: int = 32,
    packing: Packing = Packing.ISOLATED,
    validation: float | None = None,
    chat_template: str | None = None,
    tokenizer: RunTokenizer | None = None,
    seed: int = 42,
    **checkpoints: Any,
) -> Run:
    """Return a run over sources; `sft` makes it a fine-tuning job."""
    return Run(
        kind="FineTuneJob" if sft else "TrainingRun",
        namespace="team",
        name="run",
        uid="uid-1",
        attempt=1,
        objective=RunObjective.SFT if sft else RunObjective.CAUSAL_LM,
        sft_loss=sft,
        model=RunModel(architecture="llama"),
        tokenizer=tokenizer or RunTokenizer(),
        adapter=Adapter(),
        data=RunData(
            sources=list(sources),
            sequence_length=sequence_length,
            packing=packing,
            chat_template=chat_template,
            validation=Validation(fraction=validation) if validation else None,
        ),
        budget=Budget(steps=10),
        batch=RunBatch(global_sequences=4, micro_sequences=1),
        optimizer=Optimizer(),
        schedule=Schedule(),
        precision=Precision.FP32,
        parallelism=RunParallelism(
            zero_stage=1,
            offload_optimizer=OffloadDevice.NONE,
            offload_parameters=OffloadDevice.NONE,
        ),
        activation_checkpointing=ActivationCheckpointing.NONE,
        workers=RunWorkers(nodes=1, processes_per_node=1, uses_accelerators=False),
        checkpoints=RunCheckpoints(
            folder=folder or Location(uri="file:///nowhere/"),
            every_steps=checkpoints.pop("every_steps", 10),
            every_minutes=None,
            keep_last=checkpoints.pop("keep_last", 3),
            keep_best=checkpoints.pop("keep_best", 0),
            **checkpoints,
        ),
        output=RunOutput(
            uri="file:///nowhere/model/", merge=False, sample_prompts=[], sample_tokens=8
        ),
        seed=seed,
    )


def write_json_lines(path: Path, records: Iterable[Any]) -> Path:
    """Write records as JSONL (compressed if the name ends in .gz)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{json.dumps(record)}\n" for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_parquet(path: Path, records: list[dict[str, Any]], row_group_size: int = 8) -> Path:
    """Write records as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path, row_group_size=row_group_size)
    return path
