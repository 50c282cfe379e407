"""Reads the figures of each rank out of a pod's /metrics page. Pure.

Only names of `trainwright_api.metrics` are looked at; lines that are not understood are left out, as
the trainer may be newer than this CLI.
"""

import re
from collections.abc import Mapping

from trainwright_api import metrics as m

from trainwright_cli.watching.snapshot import RankFigures

_SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_GPU_FIELDS = {
    m.GPU_UTILIZATION.name: "utilization",
    m.GPU_MEMORY_USED.name: "memory_used_bytes",
    m.GPU_MEMORY_TOTAL.name: "memory_total_bytes",
    m.GPU_POWER.name: "power_watts",
    m.GPU_TEMPERATURE.name: "temperature_celsius",
}
_HOST_FIELDS = {"used": "memory_used_bytes", "limit": "memory_total_bytes"}


def parse_figures(page: str, node_rank: int) -> list[RankFigures]:
    """Return what the devices of one pod do, by rank; on CPUs one row for the whole pod."""
    gpus: dict[int, dict[str, float]] = {}
    host: dict[str, float] = {}
    first_rank = None
    for name, labels, value in _parse_series(page):
        rank = int(labels["rank"]) if labels.get("rank", "").isdigit() else None
        if name in _GPU_FIELDS and rank is not None:
            gpus.setdefault(rank, {})[_GPU_FIELDS[name]] = value
        elif name == m.CPU_UTILIZATION.name:
            host["utilization"] = value
        elif name == m.HOST_MEMORY_BYTES.name and labels.get("state") in _HOST_FIELDS:
            host[_HOST_FIELDS[labels["state"]]] = value
        elif name == m.MEMORY_BYTES.name and rank is not None:
            first_rank = rank if first_rank is None else min(rank, first_rank)
    if gpus:
        return [RankFigures(rank, "GPU", **fields) for rank, fields in sorted(gpus.items())]
    return (
        [RankFigures(node_rank if first_rank is None else first_rank, "CPU", **host)]
        if host
        else []
    )


def _parse_series(page: str) -> list[tuple[str, Mapping[str, str], float]]:
    series: list[tuple[str, Mapping[str, str], float]] = []
    for line in page.splitlines():
        match = _SERIES.match(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        series.append((match[1], dict(_LABEL.findall(match[2] or "")), value))
    return series
