"""Joins the ranks: process groups for tensors and for small values, and DeepSpeed's own view of them."""

from datetime import timedelta

import torch
import torch.distributed as dist
from trainwright_api.run import Run

from trainwright_trainer.groups import Group, SingleGroup, TorchGroup
from trainwright_trainer.imports import hidden, uncollected
from trainwright_trainer.settings import Settings

JOIN_TIMEOUT = timedelta(minutes=30)  # pods of one run may start far apart
# Others wait here while one node still tokenizes, or rank 0 exports and uploads; a peer that has died is
# noticed at once, by its closed connection.
CONTROL_TIMEOUT = timedelta(hours=12)


def join_group(run: Run, settings: Settings) -> Group:
    """Join the ranks and return the group for small values; runs on GPUs use NCCL for tensors."""
    device_backend = "nccl" if run.workers.uses_accelerators else "gloo"
    if run.workers.uses_accelerators:
        torch.cuda.set_device(settings.local_rank)
    dist.init_process_group(
        device_backend,
        init_method=f"tcp://{settings.master_address}:{settings.master_port}",
        rank=settings.rank,
        world_size=settings.world_size,
        timeout=JOIN_TIMEOUT,
    )
    _join_deepspeed()
    if settings.world_size == 1:
        return SingleGroup()
    control = dist.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    return TorchGroup(
        control,
        rank=settings.rank,
        local_rank=settings.local_rank,
        world_size=settings.world_size,
    )


def _join_deepspeed() -> None:
    """Give DeepSpeed the joined group; nothing may be compiled at run time.

    On CPUs it would compile an operator of its own at this point (used for inference only): its list
    of operators that can be built is emptied first.
    """
    with uncollected(), hidden("mlflow"):
        import deepspeed
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__ = {}
    _import_muon_uncompiled()
    deepspeed.init_distributed(
        dist_init_required=False if deepspeed.comm.is_initialized() else None
    )


def _import_muon_uncompiled() -> None:
    """Import DeepSpeed's Muon optimizer without torch.compile around its functions.

    Every engine imports it, used or not, and the decorators alone cost 3 s of a rank's start.
    """
    from deepspeed.runtime import compiler

    compile_function = compiler.compile
    compiler.compile = lambda: compiler.dummy_decorator
    try:
        import deepspeed.runtime.zero.muon.original_muon  # noqa: F401
    finally:
        compiler.compile = compile_function


def choose_device(run: Run, settings: Settings) -> torch.device:
    """Return the device of this rank."""
    return (
        torch.device("cuda", settings.local_rank)
        if run.workers.uses_accelerators
        else torch.device("cpu")
    )
