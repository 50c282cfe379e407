"""All checks that need no test: format, lint, types, import rules, generated files, duplicates.

`make check` and the first tier of `make test` run it. As many checks run at a time as there are cores;
what a failing one printed is shown, and all of them run even if one fails.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.machine import PROJECT, cache_folder

PACKAGES = (
    "crds/trainwright_api",
    "operator/trainwright_planner",
    "operator/trainwright_operator",
    "operator/trainwright_cli",
    "trainer_image/trainwright_trainer",
    "helm/trainwright_dashboards",
)
CODE = (*PACKAGES, "tools", "demo", "tests")
TYPED = (*PACKAGES, "tools", "demo", "tests/cluster")
YAML = ("crds/examples", "demo", ".yamllint.yaml")
DUPLICATES = (
    "--min-lines=8",
    "--min-tokens=80",
    "--format=python",
    "--threshold=0",
    "--exit-code=1",
)
_BIN = Path(sys.executable).parent
# Outside the tree, so that a new clone need not look at the libraries again; mypy compares contents.
_TYPES_CACHE = cache_folder() / "mypy"


@dataclass(frozen=True)
class Check:
    """One check: what a person calls it, and the command."""

    name: str
    command: tuple[str, ...]


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """A command of the environment."""
    return (str(_BIN / name), *arguments)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """A Python module of the environment or of ours."""
    return (sys.executable, "-m", name, *arguments)


# The long ones first, so that none of them is left alone at the end.
CHECKS = (
    Check("types (mypy --strict)", tool("mypy", f"--cache-dir={_TYPES_CACHE}", *TYPED)),
    Check("duplicate code", tool("jscpd", *DUPLICATES, *CODE)),
    Check("import rules", tool("lint-imports", "--no-cache")),
    Check("rules of the tree", module("pytest", "-q", "tests/contract/test_tree.py")),
    Check("format", tool("ruff", "format", "--check", *CODE)),
    Check("lint", tool("ruff", "check", *CODE)),
    Check("generated: CRDs and reference", module("trainwright_api.generate", "--check")),
    Check("generated: chart", module("tools.chart", "--check")),
    Check("generated: dashboards", module("trainwright_dashboards.generate", "--check")),
    Check("generated: examples in pages", module("tools.docs", "--check")),
    Check("YAML", tool("yamllint", "--strict", *YAML)),
    Check("Dockerfiles", tool("hadolint", "operator/Dockerfile", "trainer_image/Dockerfile")),
)


def main() -> int:
    """Exit code 1 if one check failed."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        passed = list(pool.map(run_check, CHECKS))
    return 0 if all(passed) else 1


def run_check(check: Check) -> bool:
    """Run one check and print how it ended; its output only if it failed."""
    started = time.monotonic()
    done = subprocess.run(check.command, cwd=PROJECT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    verdict = "ok" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
    output = "" if done.returncode == 0 else f"\n{(done.stdout + done.stderr).strip()}"
    print(f"{check.name:<32} {seconds:5.1f} s  {verdict}{output}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
