"""Memory of one device by term: parameters, gradients, optimizer, activations, logits, buffers.

Called by `plan` for each layout that it tries. The terms are added up as if all were there at once,
which is the case with gradient accumulation and slightly too much without. Logits are counted for all
tokens: the trainer computes those of trained ones only, but a micro-batch may hold no others. The
optimizer is taken to be a fused one, which needs no room of its own in the step. Sources of the formulas:
ZeRO's partitions from DeepSpeed 0.19's stage_1_and_2.py and stage3.py; what autograd keeps was
measured per family with saved-tensor hooks (see `families`); recomputation after Korthikanti et al.,
arXiv:2205.05198. "Constants" below were measured on Linux with torch 2.15 and transformers 5.23.
"""

from dataclasses import dataclass

from trainwright_api.data import Packing
from trainwright_api.run import Run
from trainwright_api.status import MemoryTerm
from trainwright_api.training import OffloadDevice, Precision

from trainwright_planner.facts import ModelFacts
from trainwright_planner.families import FAMILIES, LLAMA, Saved

GIB = 2**30

# A logit's bytes at the peak, in the backward pass of the loss: the logits as the model made them, the
# log-softmax that autograd keeps, and its two gradients in FP32.
LOGIT_BYTES_16_BIT = 2 + 4 + 4 + 4
LOGIT_BYTES_32_BIT = 4 + 4 + 4 + 4

# Resident size of a rank that trains a model of 43 000 parameters: 0.9 GiB (0.8 of it once torch,
# transformers, peft and DeepSpeed are loaded), 1.1 on rank 0. The launcher loads none of them.
CPU_PROCESS_GIB = 1.0
CPU_LAUNCHER_GIB = 0.03
# CUDA context, cuBLAS workspaces and NCCL's buffers, and what the caching allocator cannot use.
ACCELERATOR_CONTEXT_GIB = 1.5
ACCELERATOR_FRAGMENTATION = 0.05

# Caps of DeepSpeed's buffers, as elements. Its defaults (5e8) would dwarf small models.
MAX_BUCKET_ELEMENTS = 200_000_000
MAX_LIVE_ELEMENTS = 1_000_000_000


@dataclass(frozen=True)
class Layout:
    """One way to lay a run out on its devices."""

    zero_stage: int
    micro_sequences: int
    recompute: bool


@dataclass(frozen=True)
class ZeroBuffers:
    """Sizes for DeepSpeed's `zero_optimization`, in elements; the memory plan counts on them."""

    reduce_bucket: int
    prefetch_bucket: int
    max_live_parameters: int


def zero_buffers(model: ModelFacts) -> ZeroBuffers:
    """Return the buffer sizes that the trainer must give to DeepSpeed for this model."""
    return ZeroBuffers(
        reduce_bucket=min(model.trainable_parameters, MAX_BUCKET_ELEMENTS),
        prefetch_bucket=min(model.parameters, MAX_BUCKET_ELEMENTS // 4),
        max_live_parameters=min(model.parameters, MAX_LIVE_ELEMENTS),
    )


def element_bytes(precision: Precision) -> int:
    """Return the bytes of one weight, gradient or activation."""
    return 4 if precision is Precision.FP32 else 2


def memory_terms(run: Run, model: ModelFacts, layout: Layout) -> tuple[MemoryTerm, ...]:
    """Return the memory of one device by term, each with the arithmetic as its reason."""
    state = (
        _parameters(run, model, layout),
        _gradients(run, model, layout),
        _optimizer(run, model, layout),
        _activations(run, model, layout),
        _logits(run, model, layout),
    )
    return (*state, _buffers(run, model, layout, sum(term.gib for term in state)))


def total_gib(terms: tuple[MemoryTerm, ...]) -> float:
    """Return the sum of all terms."""
    return round(sum(term.gib for term in terms), 3)


def _term(name: str, num_bytes: float, reason: str) -> MemoryTerm:
    return MemoryTerm(name=name, gib=round(num_bytes / GIB, 3), reason=reason)


def _is_offloaded(run: Run, device: OffloadDevice) -> bool:
    """Whether state really leaves the device; training on CPUs, host memory *is* the device's."""
    return device is OffloadDevice.CPU and run.workers.uses_accelerators


def _shards(run: Run, layout: Layout, from_stage: int) -> tuple[int, str]:
    """Return over how many devices state is sharded, and how to say so."""
    if layout.zero_stage >= from_stage and run.world_size > 1:
        return run.world_size, f" / {run.world_size} devices (ZeRO {layout.zero_stage})"
    return 1, ""


def _parameters(run: Run, model: ModelFacts, layout: Layout) -> MemoryTerm:
    size = element_bytes(run.precision)
    shards, said = _shards(run, layout, 3)
    reason = f"{model.parameters:,} parameters x {size} B ({run.precision}){said}"
    if layout.zero_stage == 3 and _is_offloaded(run, run.parallelism.offload_parameters):
        return _term("parameters", 0, f"{reason}, in host memory (offloadParameters: CPU)")
    return _term("parameters", model.parameters * size / shards, reason)


def _gradients(run: Run, model: ModelFacts, layout: Layout) -> MemoryTerm:
    trainable, size = model.trainable_parameters, element_bytes(run.precision)
    if layout.zero_stage >= 2 and _is_offloaded(run, run.parallelism.offload_optimizer):
        return _term("gradients", 0, "in host memory (offloadOptimizer: CPU with ZeRO 2 or 3)")
    shards, said = _shards(run, layout, 2)
    num_bytes, reason = trainable * size / shards, f"{trainable:,} trained x {size} B{said}"
    if layout.zero_stage >= 1 and size == 2:
        parts = run.world_size
        num_bytes += trainable * 4 / parts
        reason += f", and their FP32 copy in the step: x 4 B / {parts}"
    return _term("gradients", num_bytes, reason)


def _optimizer(run: Run, model: ModelFacts, layout: Layout) -> MemoryTerm:
    trainable = model.trainable_parameters
    has_master = layout.zero_stage >= 1 or run.precision is not Precision.FP32
    size = 12 if has_master else 8
    shards, said = _shards(run, layout, 1)
    what = "FP32 master weight and two moments" if has_master else "two moments"
    reason = f"{trainable:,} trained x {size} B ({what}){said}"
    if _is_offloaded(run, run.parallelism.offload_optimizer):
        return _term("optimizer", 0, f"{reason}, in host memory (offloadOptimizer: CPU)")
    return _term("optimizer", trainable * size / shards, reason)


def layer_activation_bytes_per_token(run: Run, model: ModelFacts) -> float:
    """Return what autograd keeps of one layer for each token of a sequence (unit: bytes)."""
    family = FAMILIES.get(model.family, LLAMA)
    size, length = element_bytes(run.precision), run.data.sequence_length
    saved: Saved = family.saved_16_bit if size == 2 else family.saved_32_bit
    attention = saved.attention
    if model.attention_dropout and not run.workers.uses_accelerators:
        attention += family.dropout_bytes_per_attention
    kept = (
        saved.hidden * model.hidden_size
        + saved.query * model.num_heads * model.head_dim
        + saved.kv * model.num_kv_heads * model.head_dim
        + saved.intermediate * model.intermediate_size
        + attention * model.num_heads * length
    )
    if model.hidden_dropout:
        kept += family.dropout_elements_per_hidden * size * model.hidden_size
    if run.data.packing is Packing.ISOLATED and not attention:
        # Fused attention keeps the block-diagonal mask in the activations' number format, and with a
        # mask transformers repeats keys and values for every query head.
        repeated = 2 * (model.num_heads - model.num_kv_heads) * model.head_dim
        kept += size * (length + repeated)
    return kept


def _activations(run: Run, model: ModelFacts, layout: Layout) -> MemoryTerm:
    tokens = layout.micro_sequences * run.data.sequence_length
    layer, size = layer_activation_bytes_per_token(run, model), element_bytes(run.precision)
    shape = f"{layout.micro_sequences} x {run.data.sequence_length} tokens"
    source = model.family if model.family in FAMILIES else "taken as llama's"
    if layout.recompute:
        boundary = size * model.hidden_size
        return _term(
            "activations",
            tokens * (model.num_layers * boundary + layer),
            f"{shape} x ({model.num_layers} layers x {boundary:,} B at their borders + {layer:,.0f} B of "
            f"the one that is recomputed; {source}, {run.precision})",
        )
    return _term(
        "activations",
        tokens * model.num_layers * layer,
        f"{shape} x {model.num_layers} layers x {layer:,.0f} B ({source}, {run.precision})",
    )


def _logits(run: Run, model: ModelFacts, layout: Layout) -> MemoryTerm:
    tokens = layout.micro_sequences * run.data.sequence_length
    size = LOGIT_BYTES_32_BIT if run.precision is Precision.FP32 else LOGIT_BYTES_16_BIT
    return _term(
        "logits",
        tokens * model.vocabulary_size * size,
        f"{layout.micro_sequences} x {run.data.sequence_length} tokens x {model.vocabulary_size:,} entries "
        f"x {size} B (logits, log-softmax and their gradients)",
    )


def _buffers(run: Run, model: ModelFacts, layout: Layout, others_gib: float) -> MemoryTerm:
    size, buffers = element_bytes(run.precision), zero_buffers(model)
    parts: list[tuple[str, float]] = []
    if layout.zero_stage >= 1 and run.world_size > 1:
        copies = 2 if run.workers.uses_accelerators else 1  # reducing overlaps the backward pass
        parts.append(("reduce bucket", copies * buffers.reduce_bucket * size / GIB))
    if layout.zero_stage == 3 and run.world_size > 1:
        live = buffers.max_live_parameters + buffers.prefetch_bucket
        parts.append(("gathered parameters", live * size / GIB))
    if run.workers.uses_accelerators:
        parts.append(("CUDA context and NCCL", ACCELERATOR_CONTEXT_GIB))
        parts.append(("fragmentation, 5 %", ACCELERATOR_FRAGMENTATION * others_gib))
    else:
        launcher = CPU_LAUNCHER_GIB / run.workers.processes_per_node
        parts.append(("process with its libraries", CPU_PROCESS_GIB))
        parts.append(("share of the launcher", launcher))
    reason = " + ".join(f"{gib:.2f} GiB {name}" for name, gib in parts)
    return _term("buffers", sum(gib for _, gib in parts) * GIB, reason)
