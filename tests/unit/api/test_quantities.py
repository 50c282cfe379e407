"""Numbers as people write and read them."""

import pytest
from trainwright_api.quantities import format_bytes, format_duration, parse_count, parse_quantity


@pytest.mark.parametrize(
    ("text", "count"),
    [("400k", 400_000), ("1.5B", 1_500_000_000), ("2T", 2 * 10**12), ("12", 12), (7, 7)],
)
def test_parse_count(text: str | int, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["400m", "1.5", "0.0001k", "", "k", "-1", "1e3"])
def test_parse_count_refuses_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), ("3Gi", 3 * 2**30), ("1.5G", 1.5e9), ("1e3", 1000), (4, 4)],
)
def test_parse_quantity(text: str | int, value: float) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["3 GB", "3GB", "lots", "", "1..2Gi"])
def test_parse_quantity_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity such as 500m, 2, 3Gi"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45.4, "45s"), (200, "3m20s"), (7500, "2h05m"), (280_000, "3d5h"), (-3, "0s")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_format_bytes(size: float, text: str) -> None:
    assert format_bytes(size) == text
