"""Installs what the project needs, step by step; a step that is done costs a few milliseconds.

`tools/bootstrap` calls it with a bare Python and nothing installed, so only the standard library is
used here. Each step is named by a hash of what it installs: an unchanged lock is never installed
twice, a changed one always is.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.debian import DebianError, can_install, install_packages, remove_leftover
from tools.forgetting import forget_old_versions, note_use
from tools.interrupts import INTERRUPTED, run_to_its_end
from tools.machine import (
    DEBIAN_PYTHON,
    PROJECT,
    cache_folder,
    describe_refusal,
    find_cluster_obstacle,
    is_ci,
)

ENVIRONMENT = PROJECT / ".venv"
TARGETS = ("python", "test", "demo")
COMMANDS = ("trainwright", "kubectl-trainwright")
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
PACKAGE_FOLDERS = ("crds", "helm", "operator", "trainer_image")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class PreparationError(Exception):
    """Something could not be installed; the text says what to do."""


def main() -> int:
    """`python -m tools.prepare python|test|demo`; exit code 1, or 130 after Ctrl+C, with one clear text."""
    target = sys.argv[1] if len(sys.argv) > 1 else "python"
    if target not in TARGETS:
        say(f"bootstrap: got {target!r}, expected one of {', '.join(TARGETS)}")
        return 2
    try:
        if target != "python":
            say(describe_machine(target))
        prepare(target)
    except PreparationError as problem:
        say(str(problem))
        return 1
    except OSError as problem:
        say(describe_refusal(problem))
        return 1
    except KeyboardInterrupt:
        say("stopped; the same command goes on from what is done")
        return INTERRUPTED
    return 0


def describe_machine(target: str) -> str:
    """The first line that a person reads: what will happen on this machine, and for how long."""
    obstacle = find_cluster_obstacle()
    if target == "demo":
        if uses_current_cluster(target):
            return "the demo runs on kubectl's current cluster, after asking; usually 15 min"
        if obstacle:
            return (
                f"no cluster on this machine ({obstacle}): the demo's manifests run locally; "
                "usually 10 min the first time, then 5 min"
            )
        return "the demo runs on a cluster of its own; usually 20 min the first time, then 5 min"
    if obstacle:
        end = "fail" if is_ci() else "are skipped"
        return (
            f"no cluster on this machine ({obstacle}): tiers that need one {end}; "
            "the others usually take 20 min the first time, then 10 min"
        )
    return "all tiers run; usually 30 min the first time, then 20 min"


def prepare(target: str) -> None:
    """Make the clone ready for `target`; raises PreparationError."""
    is_cluster_used = target != "python" and not uses_current_cluster(target)
    obstacle = find_cluster_obstacle()
    ensure_debian_packages(has_cluster=is_cluster_used and not obstacle)
    if target == "test":
        ensure_browser()
    uv = ensure_uv()
    with hold_environment():
        ensure_environment(uv)
    if not is_cluster_used:
        return
    if obstacle:
        if target == "test":  # not inside a test, which has only so much time
            run_step([sys_python(), "-m", "tests.cluster", "build", "--chart-tools"])
        return
    for_demo = ["--no-chart-tests"] if target == "demo" else []
    run_step([sys_python(), "-m", "tests.cluster", "build", *for_demo])
    run_step([sys_python(), "-m", "tools.images", "--cached", "operator", "trainer-code"])
    run_step([sys_python(), "-m", "tools.images", "trainer-venv"])


def uses_current_cluster(target: str) -> bool:
    """Whether this is the demo and uses kubectl's cluster, so that none is needed here."""
    return target == "demo" and os.environ.get("CLUSTER") == "current"


def sys_python() -> str:
    """The environment's interpreter."""
    return str(ENVIRONMENT / "bin" / "python")


def ensure_debian_packages(*, has_cluster: bool = False) -> None:
    """A C compiler for the tests' libraries and certificates, where apt-get can give them.

    For a cluster also Debian's Python, if this one is another.
    """
    wanted = {"gcc": shutil.which("cc") or shutil.which("gcc"), "libc6-dev": _has_c_headers()}
    wanted["ca-certificates"] = _CERTIFICATES.exists()
    wanted["python3"] = DEBIAN_PYTHON.exists() or not has_cluster
    missing = [package for package, there in wanted.items() if not there]
    if can_install():
        remove_leftover()
    if missing and can_install():
        install_debian_packages(missing)


def _has_c_headers() -> bool:
    return Path("/usr/include/stdio.h").exists() or not shutil.which("apt-get")


def ensure_browser() -> None:
    """A browser for the tests of reports, where Debian's package can be had; else they are skipped."""
    if any(map(shutil.which, BROWSERS)) or not can_install():
        return
    try:
        install_debian_packages([BROWSERS[0]], "100 MB, usually 40 s")
    except PreparationError as problem:
        say(f"no browser, so the tests of reports in one are skipped: {problem}")


def install_debian_packages(packages: Sequence[str], effort: str = "usually 20 s") -> None:
    """Install packages by apt-get without starting any service; raises PreparationError."""
    say(f"installing Debian packages: {' '.join(packages)} ({effort})")
    try:
        install_packages(*packages)
    except DebianError as problem:
        raise PreparationError(str(problem)) from problem


def ensure_uv() -> str:
    """The path of the pinned uv, installed into the cache by pip if it is not there."""
    lock = PROJECT / "requirements" / "bootstrap.lock"
    folder = cache_folder() / "uv" / fingerprint(lock)
    program = folder / "bin" / "uv"
    if program.exists():
        note_use(folder)
    else:
        say("installing uv (usually 5 s)")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        options = ["--quiet", "--no-deps", "--require-hashes", "--target", str(draft)]
        try:
            run([*find_pip(), "install", *options, "--requirement", str(lock)])
            move_into_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        forget_old_versions(folder, lambda made: made.with_name(f".{made.name}.lock"))
    return str(program)


def find_pip() -> list[str]:
    """A command that is pip, installed from Debian's packages if there is none."""
    pip = [sys.executable, "-m", "pip"]
    if not succeeds([*pip, "--version"]):
        if not can_install():
            raise PreparationError(
                f"{sys.executable} has no pip; install it (Debian: apt-get install python3-pip)"
            )
        install_debian_packages(["python3-pip"])
    return pip


@contextmanager
def hold_environment() -> Iterator[None]:
    """Keep `.venv` for this process: two that install into it at a time would leave it half of each.

    The lock is on the clone's folder and goes with its holder; where the file system has none, there is none.
    """
    folder = os.open(ENVIRONMENT.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another call that makes .venv ready")
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(folder)


def ensure_environment(uv: str) -> None:
    """`.venv` with exactly what requirements/dev.lock says, and our packages on its path."""
    lock = PROJECT / "requirements" / "dev.lock"
    base = os.path.realpath(sys.executable)
    python = f"{sys.version.split()[0]} {base}"
    wanted = f"{fingerprint(lock)} {python}"
    stamp = ENVIRONMENT / "trainwright.stamp"
    present = stamp.read_text().strip() if stamp.exists() else ""
    if present != wanted:
        settings = {"UV_SYSTEM_CERTS": "1", **os.environ}
        if present.partition(" ")[2] != python:
            say("installing Python packages into .venv (usually 2 min the first time)")
            run([uv, "venv", "--quiet", "--clear", "--python", base, str(ENVIRONMENT)], settings)
        else:
            say("bringing .venv up to date with its lock (usually 20 s)")
        # Should this be interrupted, the next call does it again, whichever lock it is for then.
        stamp.write_text(f"unfinished {python}\n")
        options = ["--quiet", "--require-hashes", "--python", sys_python()]
        run([uv, "pip", "sync", *options, str(lock)], settings)
        stamp.write_text(f"{wanted}\n")
    write_package_paths()
    # Beside the environment's Python the images' and the cluster's builders find it.
    link = ENVIRONMENT / "bin" / "uv"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(uv)


def write_package_paths() -> None:
    """Put our packages and commands on the environment's paths, from this clone."""
    (folder,) = (ENVIRONMENT / "lib").glob("python*/site-packages")
    paths = "\n".join(str(PROJECT / name) for name in PACKAGE_FOLDERS) + "\n"
    target = folder / "_trainwright.pth"
    if not target.exists() or target.read_text().strip() != paths.strip():
        target.write_text(paths)
    # For a shell, then for Python: a line `#!` takes no path with spaces, and none that is long.
    start = f"#!/bin/sh\n'''exec' {shlex.quote(sys_python())} \"$0\" \"$@\"\n' '''\n"
    text = f"{start}from trainwright_cli.__main__ import main\n\nmain()\n"
    for name in COMMANDS:
        command = ENVIRONMENT / "bin" / name
        if not command.exists() or command.read_text() != text:
            command.write_text(text)
            command.chmod(0o755)


def move_into_place(draft: Path, folder: Path) -> None:
    """Rename a finished folder; who comes second keeps the first one's."""
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(draft)


def fingerprint(*files: Path) -> str:
    """Twelve hex digits of the files' content."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return digest.hexdigest()[:12]


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def run_step(command: Sequence[str]) -> None:
    """Run a step that speaks for itself; raises PreparationError if it fails."""
    if run_to_its_end(command, cwd=PROJECT, stdout=sys.stderr):
        raise PreparationError(f"`{' '.join(command)}` failed; its message is above")


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command quietly; PreparationError with the end of its output if it fails."""
    done = subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise PreparationError(f"`{' '.join(command)}` ended with {done.returncode}:\n{tail}")


def succeeds(command: Sequence[str]) -> bool:
    """Whether a command ends with 0; what it prints is of no interest."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
