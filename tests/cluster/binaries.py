"""The Go programs of the cluster, built once per version and kept in the cache.

Each folder of `go/` is a module of its own (their dependencies must not mix) that pins one set of
programs. An entry of the cache is keyed by the module's files, the build's flags and BUILD_CHANGES, so a
build happens only when one of these changes.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import Report, build_key, cache_folder, make_once
from tests.cluster.errors import BuildError
from tests.cluster.toolchain import ensure_go

GO_FOLDER = Path(__file__).parent / "go"


@dataclass(frozen=True)
class Program:
    """One program of a module and how long its build takes on two cores with a cold cache."""

    package: str
    typical_seconds: int
    binary: str = ""

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return self.binary or self.package.rpartition("/")[2]


@dataclass(frozen=True)
class GoModule:
    """A folder of `go/`, the programs built from it and the variables set in them."""

    name: str
    programs: tuple[Program, ...]
    version_of: str = ""
    version_variables: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its go.mod lies."""
        return GO_FOLDER / self.name

    @property
    def version(self) -> str:
        """The pinned version (v1.2.3) of the dependency that the programs come from."""
        return parse_required_version((self.folder / "go.mod").read_text(), self.version_of)

    def build_flags(self) -> list[str]:
        """What `go build` gets: static, stripped, and with the version that it would report."""
        linker = ["-s", "-w"]
        for variable in self.version_variables:
            linker += ["-X", variable.format(**_version_parts(self.version))]
        # The linker strips what debuggers read: the compiler need not write it in the first place.
        compiler = "-gcflags=all=-dwarf=false"
        return ["-mod=readonly", "-trimpath", compiler, "-ldflags", " ".join(linker)]


KUBERNETES = GoModule(
    "kubernetes",
    (
        Program("k8s.io/kubernetes/cmd/kube-apiserver", 180),
        Program("k8s.io/kubernetes/cmd/kube-controller-manager", 60),
        Program("k8s.io/kubernetes/cmd/kube-scheduler", 5),
        Program("k8s.io/kubernetes/cmd/kubelet", 25),
        Program("k8s.io/kubernetes/cmd/kube-proxy", 15),
    ),
    "k8s.io/kubernetes",
    tuple(
        f"{package}.{variable}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable in (
            "gitVersion={version}",
            "gitMajor={major}",
            "gitMinor={minor}",
            "gitTreeState=clean",
        )
    ),
)
TRAINING_OPERATOR = GoModule(
    "training-operator",
    (
        Program(
            "github.com/kubeflow/training-operator/cmd/training-operator.v1",
            70,
            "training-operator",
        ),
    ),
    "github.com/kubeflow/training-operator",
)
HELM = GoModule(
    "helm",
    (Program("helm.sh/helm/v3/cmd/helm", 60),),
    "helm.sh/helm/v3",
    ("helm.sh/helm/v3/internal/version.version={version}",),
)
HELM_UNITTEST = GoModule(
    "helm-unittest",
    (Program("github.com/helm-unittest/helm-unittest/cmd/helm-unittest", 20),),
    "github.com/helm-unittest/helm-unittest",
)
TOOLBOX = GoModule("toolbox", (Program("trainwright.dev/tests/cluster/toolbox", 5),))
MODULES = (TOOLBOX, KUBERNETES, TRAINING_OPERATOR, HELM, HELM_UNITTEST)
# How `_build` and `run_go` build is in no file of a module: a change of it that makes other programs of the
# same files adds a word here, such as "cgo", and they are built anew, which takes minutes.
BUILD_CHANGES: tuple[str, ...] = ()


def parse_required_version(go_mod: str, module: str) -> str:
    """The version of `module` that this go.mod requires."""
    match = re.search(rf"^(?:require)?\s*{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if match is None:
        raise BuildError(f"go.mod: requires no {module}; add it with `go get -tool`")
    return match[1]


def module_entry(module: GoModule) -> Path:
    """The cache folder of this module's programs, whether built or not."""
    sources = sorted(
        path for path in module.folder.iterdir() if path.suffix in {".mod", ".sum", ".go"}
    )
    programs = [f"{program.package}={program.name}" for program in module.programs]
    key = build_key(
        platform.machine(),
        *module.build_flags(),
        *programs,
        *BUILD_CHANGES,
        *(path.name for path in sources),
        *(path.read_bytes() for path in sources),
    )
    return cache_folder() / "bin" / f"{module.name}-{key}"


def ensure_binaries(module: GoModule, report: Report = print) -> Path:
    """The folder with the module's programs, built if needed; raises BuildError."""
    entry = module_entry(module)
    return make_once(entry, lambda folder: _build(module, folder, report), forgets=True)


def binary(module: GoModule, name: str = "") -> Path:
    """The path of one built program; raises BuildError if `build` has not run yet."""
    path = module_entry(module) / (name or module.programs[0].name)
    if not path.exists():
        raise BuildError(f"{path.name} is not built yet; run: python -m tests.cluster build")
    return path


def run_go(module: GoModule, *arguments: str, go: Path | None = None) -> str:
    """Run the Go command in a module's folder; its output, or BuildError with the end of it."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(go or ensure_go()), *arguments],
        cwd=module.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BuildError(f"{module.name}: go {arguments[0]}:\n{done.stderr[-3000:]}")
    return done.stdout


def _build(module: GoModule, folder: Path, report: Report) -> None:
    go = ensure_go(report)
    folder.mkdir()
    for program in module.programs:
        report(
            f"building {program.name} {_version_label(module)}(usually {program.typical_seconds} s)"
        )
        started = time.monotonic()
        target = folder / program.name
        run_go(module, "build", *module.build_flags(), "-o", str(target), program.package, go=go)
        report(f"built {program.name} in {time.monotonic() - started:.0f} s")


def _version_label(module: GoModule) -> str:
    return f"{module.version} " if module.version_of else ""


def _version_parts(version: str) -> dict[str, str]:
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return {"version": version, "major": major, "minor": minor}
