"""Refuses shards that hold more than tensors and plain values, before DeepSpeed unpickles them.

DeepSpeed's shards are pickles, and a pickle may name any function to be called. Whoever can write to the
bucket of a checkpoint could run code in every pod that resumes from it; so PyTorch's restricted
unpickler reads each of them first, of which only the few classes below are let in. It maps the files:
no tensor is read.
"""

import enum
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from trainwright_trainer.checkpoint.finding import RESUME_FIELD
from trainwright_trainer.checkpoint.state import FetchedCheckpoint
from trainwright_trainer.errors import UserError


def check_shards(fetched: FetchedCheckpoint) -> None:
    """Raise UserError with the first file that holds anything else, or is no file of PyTorch's."""
    with torch.serialization.safe_globals(_list_needed()):
        for path in sorted(fetched.folder.rglob("*.pt")):
            if not zipfile.is_zipfile(path):  # what PyTorch wrote before, it unpickles as a whole
                raise _refuse(fetched, path, "it is no archive of torch.save")
            try:
                torch.load(path, map_location="cpu", mmap=True, weights_only=True)
            except (pickle.UnpicklingError, RuntimeError) as error:
                told = error.__context__ or error  # PyTorch wraps it in advice to trust the file
                raise _refuse(fetched, path, str(told).splitlines()[0][:200]) from error


def _list_needed() -> list[Any]:
    """What DeepSpeed's shards name, and a stand-in for the function by which Python 3.11 pickles enums."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    classes = [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
    return [*classes, (_get_member, "builtins.getattr")]


def _get_member(kind: Any, name: str) -> Any:
    """`getattr` of an enum's members only: of anything else it would be a way to functions."""
    if not isinstance(kind, enum.EnumType) or name not in kind.__members__:
        raise pickle.UnpicklingError(f"it names {name} of {kind}")
    return kind[name]


def _refuse(fetched: FetchedCheckpoint, path: Path, reason: str) -> UserError:
    point = fetched.point
    return UserError(
        f"{'spec.checkpoints.store' if point.is_own else RESUME_FIELD}: got a checkpoint at {point.uri} whose file "
        f"{path.relative_to(fetched.folder)} may run code ({reason}), expected tensors and plain values only; "
        "use a checkpoint of a run that you trust"
    )
