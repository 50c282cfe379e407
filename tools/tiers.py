"""Runs the tiers of tests and ends with a table of what each took.

`make test` calls it with no argument for all tiers; `python -m tools.tiers unit e2e` runs some. A tier
that this machine cannot run is skipped by name and reason; with CI set, that is a failure. Every
tier runs even if one before it failed, so that one run shows all there is to mend.

The trainer's tier computes, while the others mostly wait: it runs in the background, at a lower priority,
and its output comes at the end.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from tools.machine import PROJECT, find_cluster_obstacle, is_ci

_NO_TESTS = 5  # pytest's exit code when it collected nothing
_LOWER_PRIORITY = ("nice", "-n", "10")


@dataclass(frozen=True)
class Tier:
    """A named set of tests: a command, whether it runs beside the others, and whether it needs a cluster."""

    name: str
    command: tuple[str, ...]
    is_background: bool = False
    needs_cluster: bool = False


@dataclass(frozen=True)
class Result:
    """How a tier ended; `note` is the reason of a skip or the exit code of a failure."""

    name: str
    verdict: str
    seconds: float
    note: str = ""


def pytest_tier(name: str, *folders: str, background: bool = False, cluster: bool = False) -> Tier:
    """A tier that pytest runs."""
    return Tier(name, ("-m", "pytest", "-q", "--durations=5", *folders), background, cluster)


TIERS = (
    Tier("check", ("-m", "tools.check")),
    pytest_tier("unit", "tests/unit", "tests/contract", "tests/monitoring", "tests/docs"),
    pytest_tier("trainer", "tests/trainer", background=True),
    pytest_tier("chart", "tests/chart"),
    pytest_tier("apiserver", "tests/apiserver", cluster=True),
    pytest_tier("cluster", "tests/embedded_cluster", cluster=True),
    pytest_tier("e2e", "tests/e2e", cluster=True),
)


def main(names: Sequence[str]) -> int:
    """Run the named tiers, or all; exit code 1 if one failed."""
    known = {tier.name: tier for tier in TIERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"tiers: got {unknown[0]}, expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    results = run_tiers([known[name] for name in names or known])
    print("\n" + format_results(results, time.monotonic() - started), flush=True)
    return int(any(result.verdict == "FAILED" for result in results))


def run_tiers(tiers: Sequence[Tier]) -> list[Result]:
    """Run tiers one after another, and beside them those for the background; return the results in their order."""
    background = [tier for tier in tiers if tier.is_background and len(tiers) > 1]
    with ThreadPoolExecutor() as pool, tempfile.TemporaryFile("w+") as output:
        for tier in background:
            print(f"--- {tier.name} has begun, in the background", flush=True)
        working = pool.submit(lambda: [run_tier(tier, output) for tier in background])
        results = {tier: run_tier(tier) for tier in tiers if tier not in background}
        results.update(zip(background, working.result(), strict=True))
        output.seek(0)
        print(output.read(), flush=True)
    return [results[tier] for tier in tiers]


def run_tier(tier: Tier, output: IO[str] | None = None) -> Result:
    """Run one tier in the project's root, its output passed through; or into a file, at a lower priority."""
    obstacle = find_cluster_obstacle() if tier.needs_cluster else None
    if obstacle:
        return Result(tier.name, "FAILED" if is_ci() else "skipped", 0, f"no cluster: {obstacle}")
    print(f"\n--- {tier.name}", flush=True, file=output)
    started = time.monotonic()
    command = [*(_LOWER_PRIORITY if output else ()), sys.executable, *tier.command]
    code = subprocess.run(
        command,
        cwd=PROJECT,
        check=False,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
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
    verdict = f"FAILED: {', '.join(failed)}" if failed else "passed"
    if skipped:
        verdict += f" (skipped: {', '.join(skipped)})"
    return "\n".join([*rows, f"{'all':<10} {verdict:<8} {seconds:7.1f} s"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
