"""All that can be wrong and is cheap to know, before weights are loaded: trackers, tokenizer, data, model, plan.

The order is by cost; a first look at stores and data comes before, see `access`. What only rank 0 looks at
ends on every rank: errors, the plan, the checkpoint to start from.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_planner.advice import fit_message, memory_field
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import ModelFacts
from trainwright_planner.plan import logit_flops_per_token, plan_run, stage_needs
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from trainwright_trainer.access import open_stores
from trainwright_trainer.agreement import on_rank_0
from trainwright_trainer.base_model import fetch_small_files, obtain_tokenizer
from trainwright_trainer.checkpoint import CheckpointManager, ResumePoint
from trainwright_trainer.checkpoint.finding import RESUME_FIELD
from trainwright_trainer.data import PreparedData, prepare_data
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import Group
from trainwright_trainer.hardware import supports
from trainwright_trainer.models import load_config, measure_run
from trainwright_trainer.positions import check_positions
from trainwright_trainer.report import Reporter
from trainwright_trainer.schedules import total_steps
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store
from trainwright_trainer.tracking import check_trackers

STATES = ("parameters", "gradients", "optimizer")  # terms of the plan that are exact, not estimated

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedRun:
    """A run of which all is known, but whose model is not there yet."""

    run: Run
    settings: Settings
    store: Store
    output_store: Store
    base_folder: Path | None  # its files are there on rank 0 only
    tokenizer: PreTrainedTokenizerFast
    config: PretrainedConfig
    data: PreparedData
    model_facts: ModelFacts
    plan: Plan
    checkpoints: CheckpointManager
    resume_point: ResumePoint | None

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run, all of them with its own batch."""
        return self.plan.total_steps or 1


def prepare_run(run: Run, settings: Settings, group: Group, reporter: Reporter) -> PreparedRun:
    """Check and prepare everything but the model; collective. Errors of one rank are raised on all."""
    store, output_store = open_stores(run, settings)
    check_precision(run, group)
    on_rank_0(group, lambda: check_trackers(run, settings))
    folder: Path | None = on_rank_0(group, lambda: fetch_small_files(run, settings))
    tokenizer = obtain_tokenizer(run, settings, group, store, folder)
    config = on_rank_0(group, lambda: load_config(run, folder, tokenizer))
    data = prepare_data(run, tokenizer, settings, group)
    reporter.warn(data.warnings)
    checkpoints = CheckpointManager(run, store, settings, group)
    resume_point = checkpoints.find_resume()
    check_same_data(data, resume_point)
    facts = measure_run(run, config)
    check_positions(run, config, data.longest_text)
    plan = on_rank_0(group, lambda: decide_plan(run, facts, len(data.train), resume_point))
    check_budget(run, plan, resume_point)
    reporter.set_plan(plan, logit_flops=logit_flops_per_token(run, facts))
    check_fit(run, plan, reporter)
    return PreparedRun(
        run=run,
        settings=settings,
        store=store,
        output_store=output_store,
        base_folder=folder,
        tokenizer=tokenizer,
        config=config,
        data=data,
        model_facts=facts,
        plan=plan,
        checkpoints=checkpoints,
        resume_point=resume_point,
    )


def check_precision(run: Run, group: Group) -> None:
    """Refuse a precision that the device of some rank does not compute in; collective."""
    supported = group.all_gather(supports(run.precision))
    if not all(supported):
        raise UserError(
            f"spec.precision: got {run.precision}, which the device of rank {supported.index(False)} does not "
            "compute in, expected one that it does; use BF16 or FP32"
        )


def decide_plan(
    run: Run, facts: ModelFacts, sequences_per_epoch: int, resume_point: ResumePoint | None
) -> Plan:
    """Return the plan; what says Auto keeps the ZeRO stage of the checkpoint to start from.

    Raises UserError for settings that contradict each other or the checkpoint.
    """
    manifest = resume_point.manifest if resume_point else None
    if resume_point is not None:
        check_same_model(facts, resume_point)
        check_stage(run, resume_point)
    try:
        plan = plan_run(
            run,
            facts,
            sequences_per_epoch=sequences_per_epoch,
            checkpoint_stage=manifest.zero_stage if manifest else None,
        )
    except PlanError as error:
        raise UserError(str(error)) from error
    if manifest is not None and plan.zero_stage != manifest.zero_stage:
        raise UserError(
            f"spec.parallelism.zeroStage: got {plan.zero_stage} for a checkpoint of stage "
            f"{manifest.zero_stage} ({resume_point.uri if resume_point else ''}), expected the same; use "
            f"{manifest.zero_stage} or Auto"
        )
    return plan


def check_stage(run: Run, point: ResumePoint) -> None:
    """Refuse settings that the ZeRO stage of the checkpoint does not train rightly; raises UserError."""
    stage = point.manifest.zero_stage
    needs = [need for need in stage_needs(run) if need.stage > stage]
    if not needs:
        return
    most, instead = needs[-1], " and ".join(f"{need.field} {need.instead}" for need in needs)
    remedy = (
        "another name"
        if point.is_own
        else "train on from the finished model of its run (spec.model.run, or spec.baseModel.run of a FineTuneJob)"
    )
    raise UserError(
        f"{most.field}: got {most.value} for the checkpoint {point.uri} of ZeRO stage {stage}, expected "
        f"{most.instead}, as {most.why}, and a checkpoint keeps its stage; use {instead}, or {remedy}"
    )


def check_same_model(facts: ModelFacts, point: ResumePoint) -> None:
    """Refuse a checkpoint of another model, by its numbers of parameters; raises UserError."""
    before = point.manifest.plan
    if before is None:
        return
    old = (before.parameters, before.trainable_parameters)
    new = (facts.parameters, facts.trainable_parameters)
    if old == new:
        return
    remedy = (
        "use another name, or delete that folder"
        if point.is_own
        else "name a run of this model in checkpoints.resumeFrom"
    )
    raise UserError(
        f"spec.model: got {new[0]:,} parameters ({new[1]:,} trained) for the checkpoint {point.uri} of "
        f"{old[0]:,} ({old[1]:,} trained), expected the same model and adapter; {remedy}"
    )


def check_same_data(data: PreparedData, point: ResumePoint | None) -> None:
    """Refuse to go on with a run whose data has changed; raises UserError.

    Another run's checkpoint may be of any data: that is what continued training is for.
    """
    if point is None or not point.is_own:
        return
    if point.manifest.data_sha256 not in (None, data.data_sha256):
        raise UserError(
            f"spec.data.sources: got other data than the checkpoint {point.uri} was trained on, expected the "
            "same files; restore them, or start a new run with checkpoints.resumeFrom"
        )


def check_budget(run: Run, plan: Plan, point: ResumePoint | None) -> None:
    """Refuse to start from another run's checkpoint that leaves nothing to train; raises UserError.

    A run that has come to its own last step is not refused: it goes on to the export.
    """
    if point is None or point.is_own:
        return
    found = point.manifest
    last = total_steps(
        run, plan.total_steps or 1, step=found.step, samples=found.samples, tokens=found.tokens
    )
    if found.step >= last:
        given = run.budget.model_dump(exclude_none=True)
        what = ", ".join(f"{value} {name}" for name, value in given.items())
        raise UserError(
            f"spec.budget: got {what} for a start from {point.uri}, where {found.step:,} steps with "
            f"{found.tokens:,} tokens are done, expected more, as the budget counts these too; raise it"
        )


def check_other_start(prepared: PreparedRun, point: ResumePoint) -> None:
    """Refuse another run's checkpoint in place of one for which all was planned; raises UserError."""
    check_same_model(prepared.model_facts, point)
    planned, stage = prepared.plan.zero_stage, point.manifest.zero_stage
    if stage != planned:
        raise UserError(
            f"{RESUME_FIELD}: got {point.uri} of ZeRO stage {stage} as the first checkpoint that verifies, expected stage "
            f"{planned}, for which the run is planned; name a checkpoint of that stage, or begin anew under another name"
        )
    check_budget(prepared.run, prepared.plan, point)


def check_fit(run: Run, plan: Plan, reporter: Reporter) -> None:
    """Refuse a plan that cannot fit, warn of one that may not.

    Parameters, gradients and optimizer states are counted exactly; the other terms are estimates, so
    they alone stop nothing. Raises UserError with the largest term and the setting to change.
    """
    if plan.fits is not False or plan.capacity_gib is None:
        return
    states_gib = sum(term.gib for term in plan.memory if term.name in STATES)
    if states_gib > plan.capacity_gib:
        hint = "; or raise it, if the devices have more" if run.workers.uses_accelerators else ""
        raise UserError(
            f"{memory_field(run)}: got {plan.capacity_gib:.2f} GiB per device for a run that "
            f"{fit_message(plan)}{hint}"
        )
    reporter.warn([f"the plan may not fit: {fit_message(plan)}"])
    logger.warning("the plan may not fit: %s", fit_message(plan))
