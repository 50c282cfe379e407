"""Runs the tiers of tests one after another and ends with a table of what each took.

`make test` calls it with no argument for all tiers; `python -m tools.tiers unit e2e` runs some. A tier
that this machine cannot run is skipped by name and reason; with CI set, that is a failure. Every
tier runs even if one before it failed, so that one run shows all there is to mend.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tools.machine import PROJECT, find_cluster_obstacle, is_ci

_NO_TESTS = 5  # pytest's exit code when it collected nothing


@dataclass(frozen=True)
class Tier:
    """A named set of tests: a command, and whether it needs the embedded cluster."""

    name: str
    command: tuple[str, ...]
    needs_cluster: bool = False


@dataclass(frozen=True)
class Result:
    """How a tier ended; `note` is the reason of a skip or the exit code of a failure."""

    name: str
    verdict: str
    seconds: float
    note: str = ""


def pytest_tier(name: str, *arguments: str, needs_cluster: bool = False) -> Tier:
    """A tier that pytest runs."""
    return Tier(name, ("-m", "pytest", "-q", "--durations=5", *arguments), needs_cluster)


TIERS = (
    Tier("check", ("-m", "tools.check")),
    pytest_tier("unit", "tests/unit", "tests/contract", "tests/monitoring", "tests/docs"),
    pytest_tier("trainer", "tests/trainer"),
    pytest_tier("chart", "tests/chart"),
    pytest_tier("apiserver", "tests/apiserver", needs_cluster=True),
    pytest_tier("e2e", "tests/e2e", needs_cluster=True),
)


def main(names: Sequence[str]) -> int:
    """Run the named tiers, or all; exit code 1 if one failed."""
    known = {tier.name: tier for tier in TIERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"tiers: got {unknown[0]}, expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    results = [run_tier(known[name]) for name in names or known]
    print("\n" + format_results(results), flush=True)
    return int(any(result.verdict == "FAILED" for result in results))


def run_tier(tier: Tier) -> Result:
    """Run one tier in the project's root, its output passed through."""
    obstacle = find_cluster_obstacle() if tier.needs_cluster else None
    if obstacle:
        return Result(tier.name, "FAILED" if is_ci() else "skipped", 0, f"no cluster: {obstacle}")
    print(f"\n--- {tier.name}", flush=True)
    started = time.monotonic()
    code = subprocess.run([sys.executable, *tier.command], cwd=PROJECT, check=False).returncode
    seconds = time.monotonic() - started
    if code:
        note = "no test ran" if code == _NO_TESTS else f"exit code {code}"
        return Result(tier.name, "FAILED", seconds, note)
    return Result(tier.name, "passed", seconds)


def format_results(results: Sequence[Result]) -> str:
    """The table at the end: a tier a line, then the sum."""
    rows = [
        f"{result.name:<10} {result.verdict:<8} {result.seconds:7.1f} s  {result.note}".rstrip()
        for result in results
    ]
    total = sum(result.seconds for result in results)
    failed = [result.name for result in results if result.verdict == "FAILED"]
    skipped = [result.name for result in results if result.verdict == "skipped"]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "passed"
    if skipped:
        verdict += f" (skipped: {', '.join(skipped)})"
    return "\n".join([*rows, f"{'all':<10} {verdict:<8} {total:7.1f} s"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
