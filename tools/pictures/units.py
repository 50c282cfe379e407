"""Numbers as Grafana writes them, by its ids of units; pure."""

import math

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_SHORT = ((1e12, " Tri"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1, ""))
_COUNT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
_BINARY = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B"))
_TIME = ((86400, " day"), (3600, " hour"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs"))
_SUFFIXES = {
    "watt": "W",
    "hertz": "Hz",
    "flops": "FLOP/s",
    "Bps": "B/s",
}
_PLAIN = {"celsius": " °C", "reqps": " req/s", "ops": " ops/s", "none": ""}


def format_value(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit, such as `12.3 GiB`; raises KeyError for a unit that no panel has."""
    if math.isnan(value):
        return "NaN"
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit == "currencyUSD":
        return f"${_digits(value, _cents(value) if decimals is None else decimals)}"
    if unit.startswith("count:"):  # a unit of one's own
        return f"{_scale(value, _COUNT, decimals)} {unit.removeprefix('count:')}"
    if unit == "sci":
        return f"{value:.{2 if decimals is None else decimals}e}"
    if unit in _SUFFIXES:
        return _scale(value, _SI, decimals, " ", _SUFFIXES[unit])
    if unit in ("short", "bytes", "s"):
        return _scale(value, {"short": _SHORT, "bytes": _BINARY, "s": _TIME}[unit], decimals)
    return _digits(value, decimals) + _PLAIN[unit]


def _scale(
    value: float,
    scale: tuple[tuple[float, str], ...],
    decimals: int | None,
    space: str = "",
    suffix: str = "",
) -> str:
    """The value in the largest unit that it fills."""
    whole = next((entry for entry in scale if abs(value) >= entry[0]), None)
    if whole is None:
        whole = next(entry for entry in scale if entry[0] == 1) if value == 0 else scale[-1]
    size, name = whole
    is_plain = size == 1 and decimals is not None
    return f"{_digits(value / size, decimals if is_plain else None)}{space}{name}{suffix}"


def _cents(value: float) -> int:
    """Two decimals, or as many as show three digits of a sum below a dollar."""
    return 2 if value == 0 else min(6, max(2, 2 - math.floor(math.log10(abs(value)))))


def _digits(value: float, decimals: int | None) -> str:
    """A number with so many decimals, or with three digits that count."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
