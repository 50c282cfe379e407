"""Runs the tiers of tests and ends with a table of what each took.

`make test` calls it with no argument for all tiers; `python -m tools.tiers unit e2e` runs some. A tier
that this machine cannot run is skipped by name and reason; with CI set, that is a failure. Every
tier runs even if one before it failed, so that one run shows all there is to mend.

They run in three lanes beside each other. Those that start a cluster mostly wait for it; beside them run
those that use one core, and, at a lower priority, that of the trainer, which computes on all there are. What
the lanes beside the main one print comes at the end.

Ctrl+C ends the tiers that run, which the terminal tells too, once they have taken down what they started;
no other is begun.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from typing import IO

from tools.interrupts import INTERRUPTED, Interrupts, counted_interrupts
from tools.machine import PROJECT, find_cluster_obstacle, is_ci

_NO_TESTS = 5  # pytest's exit code when it collected nothing
_UMASK = 0o022  # pods of another user read what tests write, whatever this person's umask is
_LOWER_PRIORITY = ("nice", "-n", "10")


class Lane(Enum):
    """Tiers of one lane run one after another, and beside those of the others."""

    MAIN = "main"
    BESIDE = "beside"
    SPARE = "spare"  # at a lower priority


@dataclass(frozen=True)
class Tier:
    """A named set of tests: a command, the lane that it runs in, and whether it needs a cluster."""

    name: str
    command: tuple[str, ...]
    lane: Lane = Lane.MAIN
    needs_cluster: bool = False


@dataclass(frozen=True)
class Result:
    """How a tier ended; `note` is the reason of a skip or the exit code of a failure."""

    name: str
    verdict: str
    seconds: float
    note: str = ""


def pytest_tier(name: str, lane: Lane, *folders: str) -> Tier:
    """A tier that pytest runs; those of the main lane need a cluster."""
    command = ("-m", "pytest", "-q", "--durations=5", *folders)
    return Tier(name, command, lane, needs_cluster=lane is Lane.MAIN)


TIERS = (
    Tier("check", ("-m", "tools.check"), Lane.BESIDE),
    pytest_tier(
        "unit", Lane.BESIDE, *(f"tests/{x}" for x in ("unit", "contract", "monitoring", "docs"))
    ),
    pytest_tier("chart", Lane.BESIDE, "tests/chart"),
    pytest_tier("trainer", Lane.SPARE, "tests/trainer"),
    pytest_tier("apiserver", Lane.MAIN, "tests/apiserver"),
    pytest_tier("cluster", Lane.MAIN, "tests/embedded_cluster"),
    pytest_tier("e2e", Lane.MAIN, "tests/e2e"),
)


def main(names: Sequence[str]) -> int:
    """Run the named tiers, or all; exit code 1 if one failed, 130 after Ctrl+C."""
    known = {tier.name: tier for tier in TIERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"tiers: got {unknown[0]}, expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    with counted_interrupts() as interrupts:
        results = run_tiers([known[name] for name in names or known], interrupts)
    print("\n" + format_results(results, time.monotonic() - started), flush=True)
    if interrupts.presses:
        print("tiers: stopped by Ctrl+C", file=sys.stderr)
        return INTERRUPTED
    return int(any(result.verdict == "FAILED" for result in results))


def run_tiers(tiers: Sequence[Tier], interrupts: Interrupts | None = None) -> list[Result]:
    """Run tiers in their lanes; return the results in the tiers' order. None is begun after Ctrl+C.

    Where there is one lane only, its output is passed through, whichever it is.
    """
    lanes: dict[Lane, list[Tier]] = {}
    for tier in tiers:
        lanes.setdefault(tier.lane, []).append(tier)
    main = lanes.pop(Lane.MAIN, None) or lanes.popitem()[1]
    stopped = interrupts or Interrupts()
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        beside = []
        for lane in lanes.values():
            names = ", ".join(tier.name for tier in lane)
            print(f"--- {names}: begun in the background", flush=True)
            output = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            beside.append((output, pool.submit(_run_lane, lane, stopped, output)))
        results = _run_lane(main, stopped)
        for output, lane_results in beside:
            if not lane_results.done():
                print("\n--- waiting for what runs in the background", flush=True)
            results |= lane_results.result()
            output.seek(0)
            print(output.read(), flush=True)
    return [results[tier] for tier in tiers]


def _run_lane(
    tiers: Sequence[Tier], interrupts: Interrupts, output: IO[str] | None = None
) -> dict[Tier, Result]:
    results = {}
    for tier in tiers:
        result = Result(tier.name, "not run", 0)
        if not interrupts.presses:
            result = run_tier(tier, output)
        if interrupts.presses and result.verdict == "FAILED":
            result = replace(result, verdict="stopped")
        results[tier] = result
    return results


def run_tier(tier: Tier, output: IO[str] | None = None) -> Result:
    """Run one tier in the project's root, its output passed through or into a file."""
    obstacle = find_cluster_obstacle() if tier.needs_cluster else None
    if obstacle:
        return Result(tier.name, "FAILED" if is_ci() else "skipped", 0, f"no cluster: {obstacle}")
    print(f"\n--- {tier.name}", flush=True, file=output)
    started = time.monotonic()
    is_spare = output is not None and tier.lane is Lane.SPARE
    command = [*(_LOWER_PRIORITY if is_spare else ()), sys.executable, *tier.command]
    code = subprocess.run(
        command,
        cwd=PROJECT,
        check=False,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        umask=_UMASK,
    ).returncode
    seconds = time.monotonic() - started
    if code:
        note = "no test ran" if code == _NO_TESTS else f"exit code {code}"
        return Result(tier.name, "FAILED", seconds, note)
    return Result(tier.name, "passed", seconds, "in the background" if output else "")


def format_results(results: Sequence[Result], seconds: float) -> str:
    """The table at the end: a tier a line, then all and how long that took."""
    rows = [
        f"{result.name:<10} {result.verdict:<8} {result.seconds:7.1f} s  {result.note}".rstrip()
        for result in results
    ]
    failed = [result.name for result in results if result.verdict == "FAILED"]
    skipped = [result.name for result in results if result.verdict == "skipped"]
    is_whole = all(result.verdict not in ("stopped", "not run") for result in results)
    verdict = "passed" if is_whole else "stopped"
    if failed:
        verdict = f"FAILED: {', '.join(failed)}"
    if skipped:
        verdict += f" (skipped: {', '.join(skipped)})"
    return "\n".join([*rows, f"{'all':<10} {verdict:<8} {seconds:7.1f} s"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
