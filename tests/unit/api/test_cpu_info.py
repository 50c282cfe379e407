import pytest
from trainwright_api.cpu_info import multiplies_bf16

X86 = "processor : 0\nflags\t\t: fpu sse4_2 avx512f {extra}\n"


@pytest.mark.parametrize(
    ("cpu_info", "expected"),
    [
        (X86.format(extra=""), False),
        (X86.format(extra="avx512_bf16"), True),
        (X86.format(extra="amx_bf16 amx_tile"), True),
        ("Features : fp asimd bf16\n", True),
        ("model name : a bf16 in a name is no flag\n", False),
        ("", False),
    ],
)
def test_flags_tell_what_a_cpu_multiplies_fast(cpu_info: str, expected: bool) -> None:
    assert multiplies_bf16(cpu_info) == expected
