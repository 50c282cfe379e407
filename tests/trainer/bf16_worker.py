"""Compares products before and after BF16's kernels are replaced; prints how much faster BF16 is then.

Called by test_bf16_products in a process of its own: they are replaced for good.
"""

import time

import torch
from trainwright_trainer.bf16_products import multiply_bf16_in_fp32

DTYPES = (torch.bfloat16, torch.float32, torch.float64)


def multiply(dtype: torch.dtype) -> list[torch.Tensor]:
    """Return results of every kind of product: two and three dimensions, with and without a sum."""
    torch.manual_seed(1)
    layer = torch.nn.Linear(256, 512).to(dtype)
    given = torch.randn(32, 256).to(dtype).requires_grad_()
    output = layer(given)
    output.float().square().sum().backward()
    left, right, added = (torch.randn(3, 8, size).to(dtype) for size in (64, 16, 16))
    right = right.repeat(1, 8, 1)
    total = torch.baddbmm(added, left, right, beta=0.5, alpha=2.0)
    return [output, given.grad, layer.weight.grad, layer.bias.grad, left @ right, total]


def measure_seconds(dtype: torch.dtype) -> float:
    """The time of a gradient's product, the slowest of a linear layer: the best of five."""
    left, right = torch.randn(64, 1024).to(dtype), torch.randn(1024, 256).to(dtype)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        _ = left @ right
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    torch.set_num_threads(1)
    wanted, slow = [multiply(dtype) for dtype in DTYPES], measure_seconds(torch.bfloat16)
    multiply_bf16_in_fp32()
    multiply_bf16_in_fp32()
    for dtype, one in zip(DTYPES, wanted, strict=True):
        two, is_replaced = multiply(dtype), dtype is torch.bfloat16
        assert {tensor.dtype for tensor in two} == {dtype}
        tolerance = 2e-2 if is_replaced else 0
        torch.testing.assert_close(two, one, rtol=tolerance, atol=tolerance)
    out = torch.mm(torch.ones(2, 3), torch.ones(3, 2), out=torch.empty(2, 2))
    assert out.tolist() == [[3, 3], [3, 3]]
    print(slow / measure_seconds(torch.bfloat16))


if __name__ == "__main__":
    main()
