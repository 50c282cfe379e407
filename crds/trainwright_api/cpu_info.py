"""What Linux says about the CPUs of a machine (`/proc/cpuinfo`)."""

from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # the last is what ARM calls it


def multiplies_bf16(cpu_info: str) -> bool:
    """Whether the CPU has instructions for products of BF16; without, they take about ten times those of FP32."""
    flags = {
        word
        for line in cpu_info.splitlines()
        if line.startswith(("flags", "Features"))
        for word in line.split()
    }
    return bool(flags & _BF16_FLAGS)


def read_cpu_info() -> str:
    """This machine's text; empty where there is none."""
    return _CPU_INFO.read_text() if _CPU_INFO.exists() else ""
