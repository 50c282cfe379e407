import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address
from trainwright_api.report import Manifest
from trainwright_trainer.checkpoint import FetchedCheckpoint, ResumePoint
from trainwright_trainer.checkpoint.shard_check import check_shards
from trainwright_trainer.errors import UserError

from tests.trainer.pickled_calls import PickledCall

SHARD = "engine/zero_pp_rank_0_mp_rank_00_optim_states.pt"


def fetched(folder: Path, *, is_own: bool = False) -> FetchedCheckpoint:
    point = ResumePoint("s3://theirs/run/step-000008/", Manifest.model_construct(), is_own)
    return FetchedCheckpoint(point, folder)


def write_shard(folder: Path, content: Any, **settings: Any) -> None:
    (folder / SHARD).parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / SHARD, **settings)


def test_what_deepspeed_writes_is_let_in(tmp_path: Path) -> None:
    write_shard(
        tmp_path,
        {
            "tensors": [torch.ones(3, dtype=torch.bfloat16)],
            "loss_scaler": LossScaler(1.0),
            "scale": DynamicLossScaler(2.0**16, 2.0, 1000, 1.0, 1, True),
            "zero_stage": ZeroStageEnum.weights,
            "fragment": fragment_address(numel=3, start=0),
            "lr": 1e-3,
        },
    )
    check_shards(fetched(tmp_path))


def test_a_function_to_be_called_is_refused_and_not_called(tmp_path: Path) -> None:
    made = tmp_path / "made"
    write_shard(tmp_path, {"weight": torch.ones(1), "other": PickledCall(os.mkdir, (str(made),))})
    with pytest.raises(UserError) as caught:
        check_shards(fetched(tmp_path))
    assert not made.exists()
    assert str(caught.value).startswith(
        "spec.checkpoints.resumeFrom: got a checkpoint at s3://theirs/run/step-000008/ whose file "
        f"{SHARD} may run code ("
    )
    assert ".mkdir" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        PickledCall(getattr, (LossScaler, "__init__")),
        PickledCall(getattr, (ZeroStageEnum, "__class__")),
        PickledCall(getattr, (ZeroStageEnum, "no_such_stage")),
        PickledCall(eval, ("1",)),
    ],
    ids=lambda call: f"{call.function.__name__} {call.arguments[-1]}",
)
def test_ways_around_it_are_closed(tmp_path: Path, call: PickledCall) -> None:
    write_shard(tmp_path, call)
    with pytest.raises(UserError, match="may run code"):
        check_shards(fetched(tmp_path))


def test_formats_that_are_pickles_as_a_whole_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, {"weight": torch.ones(1)}, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"^spec\.checkpoints\.store: .*no archive of torch\.save"):
        check_shards(fetched(tmp_path, is_own=True))
    (tmp_path / SHARD).write_bytes(pickle.dumps({}))
    with pytest.raises(UserError, match=r"no archive of torch\.save"):
        check_shards(fetched(tmp_path))
