"""Everything between the resolved run and the first step: preflight, data, model, plan, engine.

The order is by cost: what can be wrong and is cheap to know comes before weights are loaded.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import psutil
import torch
from trainwright_api.data import Location
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_planner.errors import PlanError
from trainwright_planner.plan import plan_run
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from trainwright_trainer.checkpoint import CheckpointManager, FetchedCheckpoint, RunFacts
from trainwright_trainer.data import PreparedData, check_sources, prepare_data
from trainwright_trainer.data.tokenizers import load_tokenizer, obtain_trained_tokenizer
from trainwright_trainer.engine import Engine
from trainwright_trainer.errors import TrainerError, UserError
from trainwright_trainer.groups import Group
from trainwright_trainer.hardware import find_peak_flops
from trainwright_trainer.models import build_model, load_config, measure_model, weights_field
from trainwright_trainer.objectives import Objective, build_objective
from trainwright_trainer.report import Reporter
from trainwright_trainer.sampling import complete_prompts
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

VERSIONED = ("torch", "deepspeed", "transformers", "peft")
_SKIPPED_FILES = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ckpt")

Value = TypeVar("Value")
logger = logging.getLogger(__name__)


@dataclass
class BuiltRun:
    """A run that is ready for its first step."""

    run: Run
    settings: Settings
    tokenizer: PreTrainedTokenizerFast
    config: PretrainedConfig
    data: PreparedData
    plan: Plan
    engine: Engine
    objective: Objective
    store: Store
    output_store: Store
    checkpoints: CheckpointManager
    facts: RunFacts
    total_steps: int
    samples_before: list[str] = field(default_factory=list)

    def write_shards(self, folder: Path) -> None:
        """Write this rank's part of a checkpoint: the engine's files and the state of its dice."""
        self.engine.save(folder)
        states = {"cpu": torch.get_rng_state()}
        if self.run.workers.uses_accelerators:
            states["cuda"] = torch.cuda.get_rng_state()
        torch.save(states, folder / f"random-{self.settings.rank:05d}.pt")

    def restore(self, fetched: FetchedCheckpoint) -> None:
        """Load a checkpoint of the same world size; collective."""
        manifest = fetched.point.manifest
        if manifest.world_size != self.settings.world_size:
            raise UserError(
                f"spec.workers: got {self.settings.world_size} processes for a checkpoint of "
                f"{manifest.world_size} ({fetched.point.uri}), expected as many; keep nodes and processes "
                "per node as they were"
            )
        if fetched.point.is_own and manifest.data_sha256 not in (None, self.data.data_sha256):
            raise UserError(
                "spec.data.sources: got other data than the checkpoint was trained on, expected the same "
                "files; restore them, or start a new run with checkpoints.resumeFrom"
            )
        self.engine.load(fetched.folder)
        path = fetched.folder / f"random-{self.settings.rank:05d}.pt"
        states = torch.load(path, weights_only=True)
        torch.set_rng_state(states["cpu"])
        if self.run.workers.uses_accelerators:
            torch.cuda.set_rng_state(states["cuda"])

    def read_memory(self) -> dict[str, int]:
        """Return this rank's memory by state in bytes; CPU training: its process' resident size."""
        if self.run.workers.uses_accelerators:
            return {
                "allocated": torch.cuda.memory_allocated(),
                "reserved": torch.cuda.memory_reserved(),
                "peak": torch.cuda.max_memory_allocated(),
            }
        return {"allocated": psutil.Process().memory_info().rss}


def build_run(run: Run, settings: Settings, group: Group, reporter: Reporter) -> BuiltRun:
    """Prepare everything for the first step; collective. Errors of one rank are raised on all."""
    store = open_store(run.checkpoints.folder, settings, field="spec.checkpoints.store")
    output = run.checkpoints.folder.model_copy(update={"uri": run.output.uri})
    output_store = open_store(output, settings, field="spec.output")
    on_rank_0(group, lambda: _preflight(run, settings, store))
    has_weights = on_rank_0(group, lambda: _fetch_config(run, settings))
    folder = _weights_folder(settings) if has_weights else None
    tokenizer = _obtain_tokenizer(run, settings, group, store, folder)
    config = on_rank_0(group, lambda: load_config(run, folder, tokenizer))
    data = prepare_data(run, tokenizer, settings)
    reporter.warn(data.warnings)

    reporter.set_activity("build")
    on_rank_0(group, lambda: _fetch_weights(run, settings))
    model = build_model(run, config, folder, group)
    facts = measure_model(run, model, config)
    try:
        plan = plan_run(run, facts, sequences_per_epoch=len(data.train))
    except PlanError as error:
        raise UserError(str(error)) from error
    reporter.set_plan(plan)
    reporter.peak_flops, source = find_peak_flops(run)
    _report_peak(reporter, source)
    samples = complete_prompts(run, model, tokenizer) if group.rank == 0 else []
    engine = Engine(run, plan, model, facts)
    return BuiltRun(
        run=run,
        settings=settings,
        tokenizer=tokenizer,
        config=config,
        data=data,
        plan=plan,
        engine=engine,
        objective=build_objective(run),
        store=store,
        output_store=output_store,
        checkpoints=CheckpointManager(run, store, settings, group),
        facts=RunFacts(
            zero_stage=plan.zero_stage,
            template_sha256=data.template_sha256,
            data_sha256=data.data_sha256,
            versions={name: version(name) for name in VERSIONED},
            plan=plan,
        ),
        total_steps=plan.total_steps or 1,
        samples_before=samples,
    )


def on_rank_0(group: Group, work: Callable[[], Value]) -> Value:
    """Do a piece of work on rank 0 and return its result on every rank; its errors reach all."""
    told: tuple[Value | None, TrainerError | None] = (None, None)
    if group.rank == 0:
        try:
            told = (work(), None)
        except TrainerError as error:
            told = (None, error)
    result, failure = group.broadcast(told)
    if failure is not None:
        raise failure
    return result  # type: ignore[return-value]


def _preflight(run: Run, settings: Settings, store: Store) -> None:
    store.check_writable()
    check_sources(run, settings)


def _weights_folder(settings: Settings) -> Path:
    return settings.scratch_folder / "weights"


def _fetch_config(run: Run, settings: Settings) -> bool:
    """Download all of the base model but its weights; whether there is a base model."""
    if run.model.weights is None:
        return False
    _download(run, settings, lambda path: not _is_weights(path))
    return True


def _fetch_weights(run: Run, settings: Settings) -> None:
    """Download the weights themselves, on rank 0 only."""
    if run.model.weights is not None:
        _download(run, settings, _is_weights)


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors")


def _download(run: Run, settings: Settings, wants: Callable[[str], bool]) -> None:
    weights = run.model.weights
    if weights is None:
        return
    store = open_store(weights, settings, field=weights_field(run).removesuffix(".uri"))
    files = [file for file in store.list_files() if not file.path.endswith(_SKIPPED_FILES)]
    if not files:
        raise store.user_error(
            weights.uri, "a folder with a model", "check the address of the model"
        )
    for file in files:
        local = _weights_folder(settings) / file.path
        if wants(file.path) and not (local.exists() and local.stat().st_size == file.size_bytes):
            store.download(file.path, local)


def _obtain_tokenizer(
    run: Run, settings: Settings, group: Group, store: Store, folder: Path | None
) -> PreTrainedTokenizerFast:
    """Return the run's tokenizer on every rank; rank 0 loads it and the others get its files."""
    if run.tokenizer.train is not None:
        return obtain_trained_tokenizer(run, store, settings, group)
    files = on_rank_0(group, lambda: _load_tokenizer_files(run, settings, folder))
    local = settings.scratch_folder / f"tokenizer-{settings.local_rank}"
    local.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (local / name).write_bytes(content)
    return load_tokenizer(local, field="spec.tokenizer.location")


def _load_tokenizer_files(run: Run, settings: Settings, folder: Path | None) -> dict[str, bytes]:
    location: Location | None = run.tokenizer.location
    if location is not None:
        field_path, source, gguf = (
            "spec.tokenizer.location",
            settings.scratch_folder / "tokenizer-source",
            None,
        )
        store = open_store(location, settings, field=field_path)
        for file in store.list_files():
            if not file.path.endswith((".safetensors", *_SKIPPED_FILES)):
                store.download(file.path, source / file.path)
    elif folder is not None:
        field_path, source, gguf = (
            weights_field(run).removesuffix(".uri"),
            folder,
            run.model.gguf_file,
        )
    else:
        raise UserError(
            "spec.tokenizer: got none for a new model, expected location or train; add one"
        )
    place = location or run.model.weights
    tokenizer = load_tokenizer(
        source, field=field_path, uri=place.uri if place else "", gguf_file=gguf
    )
    saved = settings.scratch_folder / "tokenizer-saved"
    tokenizer.save_pretrained(saved)
    return {path.name: path.read_bytes() for path in saved.iterdir() if path.is_file()}


def _report_peak(reporter: Reporter, source: str) -> None:
    from trainwright_api import metrics as m

    if reporter.peak_flops is not None:
        reporter.metrics.of(m.PEAK_FLOPS, source=source).set(reporter.peak_flops)
