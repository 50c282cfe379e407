"""Numbers as people write them in manifests: `400k` tokens, `3Gi` of memory, `500m` of CPU.

Used by the models of the API, the planner and the CLI; pure functions with clear errors.
"""

import re
from decimal import Decimal

_COUNT_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_COUNT = re.compile(r"^(\d+(?:\.\d+)?)([kMBT]?)$")

_BINARY = {
    suffix: Decimal(2) ** (10 * power)
    for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
}
_DECIMAL = {"m": Decimal("0.001"), "": Decimal(1)} | {
    suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)
}
_QUANTITY = re.compile(
    r"^((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E)?$"
)


def parse_count(value: int | str) -> int:
    """Return a count such as `400k` (400 000), `1.5B` or `12` as an integer.

    Raises ValueError when the text is no count or does not give a whole number.
    """
    if isinstance(value, int):
        return value
    match = _COUNT.match(value.strip())
    if match is None:
        raise ValueError(f"got {value!r}, expected a count such as 400000, 400k, 1.5B")
    number = Decimal(match[1]) * _COUNT_SUFFIXES[match[2]]
    if number != number.to_integral_value():
        raise ValueError(f"got {value!r}, expected a whole number")
    return int(number)


def parse_quantity(value: int | float | str) -> float:
    """Return a Kubernetes quantity (`3Gi`, `500m`, `2`) as a float of its base unit.

    Raises ValueError when the text is no quantity.
    """
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.match(value.strip())
    if match is None:
        raise ValueError(f"got {value!r}, expected a quantity such as 500m, 2, 3Gi")
    suffix = match[2] or ""
    factor = _BINARY.get(suffix) or _DECIMAL[suffix]
    return float(Decimal(match[1]) * factor)


def format_bytes(num_bytes: float) -> str:
    """Return a size for people, in binary units: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(num_bytes) < 1024 or unit == "TiB":
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    raise AssertionError("unreachable")


def format_duration(seconds: float) -> str:
    """Return a duration for people: `45s`, `3m20s`, `2h05m`, `3d4h`."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour}h"
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minutes}m{second:02d}s" if minutes else f"{second}s"
