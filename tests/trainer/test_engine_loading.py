"""What an engine keeps of its own when DeepSpeed loads a checkpoint over it.

Few CPUs compute in FP16, so that the loading code is DeepSpeed's, but there is no engine below it.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deepspeed
import pytest
import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
from trainwright_api.status import Plan
from trainwright_api.training import Precision
from trainwright_trainer.engine import Engine

from tests.trainer.run_builder import build_run
from tests.unit.planner.builders import a_model

LOADERS = {
    2: DeepSpeedZeroOptimizer._load_global_state,
    3: DeepSpeedZeroOptimizer_Stage3._load_global_state_stage3,
}


def scaler_of(precision: Precision, scale: float) -> LossScaler | DynamicLossScaler:
    if precision is Precision.FP16:
        return DynamicLossScaler(scale, 2.0, 1000, 1.0, 1, True)
    return LossScaler(1.0)


def optimizer_of(precision: Precision, scale: float) -> SimpleNamespace:
    """As much of an optimizer of ZeRO as a checkpoint replaces."""
    scaler = scaler_of(precision, scale)
    return SimpleNamespace(
        param_groups=[],
        loss_scaler=scaler,
        dynamic_loss_scale=scaler.dynamic,
        overflow=False,
        clip_grad=1.0,
        compute_grad_norm=True,
        partition_gradients=True,
    )


@pytest.mark.parametrize("stage", LOADERS)
@pytest.mark.parametrize(
    ("saved", "trained", "scale", "is_dynamic"),
    [
        (Precision.BF16, Precision.FP16, 65536.0, True),
        (Precision.FP32, Precision.FP16, 65536.0, True),
        (Precision.FP16, Precision.BF16, 1.0, False),
        (Precision.FP16, Precision.FP16, 128.0, True),
    ],
)
def test_the_loss_scale_goes_on_only_in_training_of_the_same_kind(
    *,
    monkeypatch: pytest.MonkeyPatch,
    stage: int,
    saved: Precision,
    trained: Precision,
    scale: float,
    is_dynamic: bool,
) -> None:
    optimizer, checkpoint = optimizer_of(trained, 65536.0), optimizer_of(saved, 128.0)

    def load(folder: str, **_: Any) -> tuple[str, dict[str, Any]]:
        LOADERS[stage](optimizer, vars(checkpoint) | {"ds_version": deepspeed.__version__})
        return folder, {}

    engine = SimpleNamespace(load_checkpoint=load, module=torch.nn.Linear(2, 2))
    monkeypatch.setattr(deepspeed, "initialize", lambda **_: (engine, optimizer, None, None))
    run = build_run().model_copy(update={"precision": trained})
    plan = Plan.model_construct(
        zero_stage=stage, micro_sequences=1, accumulation_steps=1, activation_checkpointing="None"
    )
    built = Engine(run, plan, torch.nn.Linear(2, 2), a_model())
    built.load(Path("/nowhere"), saved)
    assert (optimizer.loss_scaler.cur_scale, optimizer.dynamic_loss_scale) == (scale, is_dynamic)
