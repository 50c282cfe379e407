"""The heavy part before the first step: weights, model, engine."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from jinja2 import TemplateError
from trainwright_api.report import Manifest
from trainwright_api.run import Run

from trainwright_trainer.agreement import on_rank_0
from trainwright_trainer.base_model import fetch_weights
from trainwright_trainer.bf16_products import multiply_bf16_in_fp32, needs_fp32_products
from trainwright_trainer.checkpoint import FetchedCheckpoint, ResumePoint, RunFacts
from trainwright_trainer.engine import ENGINE_TAG, Engine
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import Group
from trainwright_trainer.hardware import find_peak_flops
from trainwright_trainer.isolation import check_isolation
from trainwright_trainer.models import build_model, one_line, weights_field
from trainwright_trainer.objectives import Objective, build_objective
from trainwright_trainer.preflight import PreparedRun
from trainwright_trainer.report import Reporter
from trainwright_trainer.resharding import UNIVERSAL_TAG, is_needed_by, reshard
from trainwright_trainer.sampling import complete_before

VERSIONED = ("torch", "deepspeed", "transformers", "peft")
LOADER = "transformers"  # decides on the order of the weights
SAMPLED_WEIGHTS = 64  # of each frozen parameter; another model differs in nearly all of them

logger = logging.getLogger(__name__)


@dataclass
class BuiltRun:
    """A run that is ready for its first step."""

    prepared: PreparedRun
    engine: Engine
    objective: Objective
    facts: RunFacts
    samples_before: list[str | None] = field(default_factory=list)

    def write_shards(self, folder: Path) -> None:
        """Write this rank's part of a checkpoint: the engine's files and the state of its dice."""
        self.engine.save(folder)
        states = {"cpu": torch.get_rng_state()}
        if self.prepared.run.workers.uses_accelerators:
            states["cuda"] = torch.cuda.get_rng_state()
        torch.save(states, folder / self._random_file)

    @property
    def _random_file(self) -> str:
        return f"random-{self.prepared.settings.rank:05d}.pt"

    def _has_layout_of(self, manifest: Manifest) -> bool:
        return manifest.world_size == self.prepared.settings.world_size

    def wanted_files(self, manifest: Manifest) -> Callable[[str], bool]:
        """Return which files of a checkpoint this rank needs: all of them, if shards have to be cut anew."""
        if self._has_layout_of(manifest):
            return partial(is_needed_by, self.prepared.settings.rank)
        return lambda path: path.startswith(f"{ENGINE_TAG}/")

    def restore(self, fetched: FetchedCheckpoint) -> None:
        """Load a checkpoint, of any number of processes; collective."""
        manifest = fetched.point.manifest
        check_same_base(self.prepared.run, self.facts, fetched.point)
        if self._has_layout_of(manifest):
            self.engine.load(fetched.folder, manifest.precision)
            self._restore_dice(fetched.folder)
            return
        if manifest.zero_stage == 0:  # every process has the whole state
            self.engine.load(fetched.folder, manifest.precision)
        else:
            folder = reshard(fetched.folder, ENGINE_TAG)
            self.engine.load_universal(folder, UNIVERSAL_TAG, manifest.precision)
        run = self.prepared.run
        torch.manual_seed(hash((run.seed, manifest.step, self.prepared.settings.rank)))

    def _restore_dice(self, folder: Path) -> None:
        states = torch.load(folder / self._random_file, weights_only=True)
        torch.set_rng_state(states["cpu"])
        # What was saved on CPUs has none: the devices keep the seed that the run gave them.
        if self.prepared.run.workers.uses_accelerators and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"])

    def read_memory(self) -> dict[str, int]:
        """Return this rank's memory by state in bytes; CPU training: its process' resident size."""
        if self.prepared.run.workers.uses_accelerators:
            return {
                "allocated": torch.cuda.memory_allocated(),
                "reserved": torch.cuda.memory_reserved(),
                "peak": torch.cuda.max_memory_allocated(),
            }
        return {"allocated": psutil.Process().memory_info().rss}


def build_run(prepared: PreparedRun, group: Group, reporter: Reporter) -> BuiltRun:
    """Load or make the model and set up the engine; collective. Errors of one rank are raised on all."""
    run, plan = prepared.run, prepared.plan
    if needs_fp32_products(run):
        multiply_bf16_in_fp32()
    folder = on_rank_0(group, lambda: fetch_weights(run, prepared.settings))
    model = build_model(run, prepared.config, folder, group)
    on_rank_0(group, lambda: check_isolation(run, model))
    reporter.set_peak(*find_peak_flops(run))
    # Minutes for a large model; the engine's first exchange would not wait for rank 0 that long.
    samples = on_rank_0(group, lambda: _complete_prompts(prepared, model))
    base = on_rank_0(group, lambda: identify_frozen(model))
    engine = Engine(run, plan, model, prepared.model_facts)
    torch.manual_seed(run.seed + group.rank)  # dropout differs between ranks
    facts = RunFacts(
        zero_stage=plan.zero_stage,
        template_sha256=prepared.data.template_sha256,
        data_sha256=prepared.data.data_sha256,
        base_sha256=base,
        versions={name: version(name) for name in VERSIONED},
        plan=plan,
    )
    return BuiltRun(
        prepared=prepared,
        engine=engine,
        objective=build_objective(run),
        facts=facts,
        samples_before=samples,
    )


def _complete_prompts(prepared: PreparedRun, model: torch.nn.Module) -> list[str | None]:
    """Complete the sample prompts. Raises UserError if the chat template refuses one."""
    try:
        return complete_before(prepared.run, model, prepared.tokenizer)
    except TemplateError as error:
        raise UserError(
            "spec.output.samplePrompts: got prompts that the chat template (the tokenizer's own if none is given) "
            f"refuses as the only message of a user ({one_line(error)}), expected it to render them; correct "
            "spec.data.chatTemplate, or leave samplePrompts away"
        ) from error


def identify_frozen(model: torch.nn.Module) -> str | None:
    """Return a hash over a sample of the weights that are not trained; None if all are.

    Checkpoints leave these weights out. The hash is of the values, since the same weights may come from
    another address, and others from the same.
    """
    digest = hashlib.sha256()
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        values = parameter.detach().flatten()
        sample = values[:: max(1, len(values) // SAMPLED_WEIGHTS)]
        digest.update(sample.float().numpy().tobytes())
    return digest.hexdigest() if frozen else None


def check_same_base(run: Run, facts: RunFacts, point: ResumePoint) -> None:
    """Refuse a checkpoint of an adapter that was trained on other weights; raises UserError.

    Another version of transformers may have the same weights in another order, so it tells nothing.
    """
    now, before = facts.base_sha256, point.manifest.base_sha256
    is_comparable = facts.versions.get(LOADER) == point.manifest.versions.get(LOADER)
    if now is None or before is None or now == before or not is_comparable:
        return
    remedy = (
        "restore the one that this run began with, or begin anew under another name (of hf:// name a commit after @)"
        if point.is_own
        else "name the base model of the run in checkpoints.resumeFrom"
    )
    got = (
        run.model.weights.uri if run.model.weights else ""
    )  # who has an adapter has weights under it
    raise UserError(
        f"{weights_field(run)}: got {got} with other weights than the adapter in the checkpoint {point.uri} was trained on, "
        f"expected the same base model; {remedy}"
    )
