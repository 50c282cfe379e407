"""The DeepSpeed engine of a run: its configuration, and the few things the loop asks of it."""

import math
from pathlib import Path
from typing import Any

import torch
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_api.training import OffloadDevice, Precision
from trainwright_planner.facts import ModelFacts
from trainwright_planner.memory import zero_buffers

ENGINE_TAG = "engine"
_FIRST_LOSS_SCALE_POWER = 16
_GROUP_SETTINGS = ("lr", "betas", "eps", "weight_decay")
_SCALING = ("loss_scaler", "dynamic_loss_scale")  # attributes of ZeRO's optimizers


def build_deepspeed_config(run: Run, plan: Plan, model: ModelFacts) -> dict[str, Any]:
    """Return DeepSpeed's configuration; everything that matters is set, nothing is left to defaults."""
    buffers = zero_buffers(model)
    zero: dict[str, Any] = {
        "stage": plan.zero_stage,
        "reduce_bucket_size": buffers.reduce_bucket,
        "allgather_bucket_size": buffers.reduce_bucket,
        "overlap_comm": run.workers.uses_accelerators,
        "contiguous_gradients": True,
    }
    if plan.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": buffers.prefetch_bucket,
            "stage3_max_live_parameters": buffers.max_live_parameters,
            "stage3_param_persistence_threshold": 10_000,
        }
    pinned = run.workers.uses_accelerators
    if run.parallelism.offload_optimizer is OffloadDevice.CPU:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
    if run.parallelism.offload_parameters is OffloadDevice.CPU and plan.zero_stage == 3:
        zero["offload_param"] = {"device": "cpu", "pin_memory": pinned}
    return {
        "train_micro_batch_size_per_gpu": plan.micro_sequences,
        "gradient_accumulation_steps": plan.accumulation_steps,
        # Without ZeRO it is done here, where the norm is needed anyway.
        "gradient_clipping": run.optimizer.gradient_clipping if plan.zero_stage else 0.0,
        "zero_optimization": zero,
        # torch's AdamW also steps offloaded state: DeepSpeed's own would be compiled at run time.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": run.precision is Precision.BF16},
        "fp16": {
            "enabled": run.precision is Precision.FP16,
            "initial_scale_power": _FIRST_LOSS_SCALE_POWER,
        },
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def group_parameters(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's groups: matrices decay, vectors (norms, biases) do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class Engine:
    """A model under training on one rank."""

    def __init__(self, run: Run, plan: Plan, model: torch.nn.Module, facts: ModelFacts) -> None:
        import deepspeed

        self._run, self._plan = run, plan
        if plan.activation_checkpointing == "Full":
            _recompute_activations(model)
        optimizer = torch.optim.AdamW(
            group_parameters(model, run.optimizer.weight_decay),
            lr=run.optimizer.learning_rate,
            betas=(run.optimizer.betas[0], run.optimizer.betas[1]),
            eps=run.optimizer.epsilon,
            fused=True,  # one pass over the state, on CPUs too
        )
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=build_deepspeed_config(run, plan, facts)
        )
        self._num_skipped_here = 0
        self._group_settings = [
            {name: group[name] for name in _GROUP_SETTINGS} for group in self.optimizer.param_groups
        ]
        self._scaling = {
            name: getattr(self.optimizer, name)
            for name in _SCALING
            if hasattr(self.optimizer, name)
        }

    @property
    def model(self) -> torch.nn.Module:
        """What an objective calls."""
        model: torch.nn.Module = self.engine
        return model

    @property
    def module(self) -> torch.nn.Module:
        """The model itself; under ZeRO 3 its parameters are in shards."""
        module: torch.nn.Module = self.engine.module
        return module

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def backward(self, loss: torch.Tensor) -> None:
        """Add a micro-batch's gradients; the last of a step also reduces them over the ranks."""
        self.engine.backward(loss)

    def step(self) -> float | None:
        """Finish a micro-batch; at the last of a step update the weights and return the gradient's norm.

        The norm is that before clipping; None between the micro-batches of a step.
        """
        is_boundary = self.engine.is_gradient_accumulation_boundary()
        norm = None
        if is_boundary and not self.engine.zero_optimization():
            norm = self._plain_norm()
            if math.isfinite(norm):
                self._clip_plain(norm)
            else:
                self._skip_plain_step()
        self.engine.step()
        if not is_boundary:
            return None
        if norm is None:
            norm = self.engine.get_global_grad_norm()
        return math.nan if norm is None else float(norm)

    def _plain_norm(self) -> float:
        """Without ZeRO DeepSpeed tells no norm; gradients are whole on every rank then."""
        norms = [
            torch.linalg.vector_norm(p.grad.float())
            for p in self.module.parameters()
            if p.grad is not None
        ]
        return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0

    def _clip_plain(self, norm: float) -> None:
        limit = self._run.optimizer.gradient_clipping
        if limit:
            torch.nn.utils.clip_grads_with_norm_(
                self.module.parameters(), limit, torch.tensor(norm)
            )

    def _skip_plain_step(self) -> None:
        """Do without ZeRO what ZeRO does: leave the weights alone if the gradient is not finite."""
        for parameter in self.module.parameters():
            parameter.grad = None
        self._num_skipped_here += 1

    @property
    def num_skipped(self) -> int:
        """Optimizer steps skipped so far because gradients were not finite."""
        return int(self.engine.skipped_steps) + self._num_skipped_here

    @property
    def loss_scale(self) -> float:
        """The current loss scale; 1 unless FP16."""
        if self._run.precision is not Precision.FP16:
            return 1.0
        return float(self.optimizer.loss_scale)

    def save(self, folder: Path) -> None:
        """Write this rank's part of the state; collective. File names differ between ranks."""
        (folder / ENGINE_TAG).mkdir(parents=True, exist_ok=True)
        self.engine.save_checkpoint(
            str(folder),
            tag=ENGINE_TAG,
            save_latest=False,
            exclude_frozen_parameters=self._has_frozen,
        )

    def load(self, folder: Path, precision: str) -> None:
        """Restore the state that `save` wrote at the same world size in a run of `precision`; collective."""
        path, _ = self.engine.load_checkpoint(
            str(folder), tag=ENGINE_TAG, load_module_strict=not self._has_frozen
        )
        if path is None:
            raise RuntimeError(f"DeepSpeed found no checkpoint in {folder}")
        self._set_own_settings(precision)

    def load_universal(self, folder: Path, tag: str, precision: str) -> None:
        """Restore the state of a checkpoint of `precision` in DeepSpeed's universal format; collective.

        Frozen weights are not in it and stay as they are. The setting is for this load only: with it
        on, saving under ZeRO 3 would lose files (DeepSpeed issue 7546).
        """
        self.engine._config.load_universal_checkpoint = True
        try:
            path, _ = self.engine.load_checkpoint(str(folder), tag=tag, load_module_strict=False)
        finally:
            self.engine._config.load_universal_checkpoint = False
        if path is None:
            raise RuntimeError(f"DeepSpeed found no universal checkpoint in {folder}")
        self._set_own_settings(precision)

    def _set_own_settings(self, precision: str) -> None:
        """Give the optimizer what the run says: a checkpoint brings its own settings along with its state.

        They are those of the run that wrote it; in the universal format, of its first group only. The loss
        scale goes on where it was, unless `precision`, that of the checkpoint, has another kind of it: FP16
        would train with the fixed 1 of BF16.
        """
        for group, settings in zip(self.optimizer.param_groups, self._group_settings, strict=True):
            group.update(settings)
        if hasattr(self.optimizer, "clip_grad"):
            self.optimizer.clip_grad = self._run.optimizer.gradient_clipping
        if precision != self._run.precision:
            for name, own in self._scaling.items():
                setattr(self.optimizer, name, own)

    @property
    def _has_frozen(self) -> bool:
        return any(not parameter.requires_grad for parameter in self.module.parameters())

    def gather_weights(self, keep: bool) -> dict[str, torch.Tensor]:
        """Return all weights and buffers on the CPU; collective under ZeRO 3. Empty where not `keep`."""
        state: dict[str, torch.Tensor] = {}
        persistent = self.module.state_dict().keys()
        named = [
            *self.module.named_parameters(remove_duplicate=False),
            *self.module.named_buffers(),
        ]
        for name, tensor in named:
            value = self._gather_one(tensor)
            if keep and name in persistent:
                state[name] = value.detach().to("cpu", copy=True)
        return state

    def _gather_one(self, tensor: torch.Tensor) -> torch.Tensor:
        if not hasattr(tensor, "ds_id"):
            return tensor
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor]):
            return tensor.data.clone()


def _recompute_activations(model: torch.nn.Module) -> None:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    if hasattr(model, "enable_input_require_grads"):
        model.enable_input_require_grads()  # type: ignore[operator]
