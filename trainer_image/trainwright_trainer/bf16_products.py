"""Products of BF16 matrices on a CPU for which PyTorch has no good kernels.

Those that it falls back to take 3 to 40 times as long as FP32's. Here the factors are widened, multiplied
by FP32's kernels, and the result is rounded once: as the instructions of other CPUs do, which add up in
FP32 too.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from trainwright_api.run import Run
from trainwright_api.training import Precision

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


def needs_fp32_products(run: Run) -> bool:
    """Whether a run computes in BF16 on a CPU for which PyTorch has no kernels that are made for it."""
    is_on_cpu = not run.workers.uses_accelerators
    return is_on_cpu and run.precision is Precision.BF16 and not has_bf16_kernels()


def has_bf16_kernels() -> bool:
    """Whether PyTorch leaves products of BF16 to oneDNN, which it does from AVX-512 and ARM's BF16 on."""
    is_supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return is_supported


@cache
def multiply_bf16_in_fp32() -> torch.library.Library:
    """Replace this process' CPU kernels of matrix products, for good; for other types they stay as they are.

    Returns what keeps them replaced.
    """
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for name in _PRODUCTS:
        multiply = partial(_multiply, getattr(torch.ops.aten, name).out)
        library.impl(name, multiply, "CPU")  # type: ignore[no-untyped-call]
    return library


def _multiply(
    kernel: Callable[..., torch.Tensor], *tensors: torch.Tensor, **scalars: Any
) -> torch.Tensor:
    """Call the kernel that writes into a given tensor, which is not the one that is replaced."""
    dtype = tensors[0].dtype
    if dtype is not torch.bfloat16:
        return kernel(*tensors, **scalars, out=torch.empty(0, dtype=dtype))
    wide = [tensor.float() for tensor in tensors]
    return kernel(*wide, **scalars, out=torch.empty(0)).to(dtype)
