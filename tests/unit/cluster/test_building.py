"""The cache of builds and the pins of the Go modules."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.cluster import images, kubeflow, node_disk
from tests.cluster.binaries import (
    HELM,
    KUBERNETES,
    MODULES,
    GoModule,
    binary,
    module_entry,
    parse_required_version,
)
from tests.cluster.cache import build_key, make_once
from tests.cluster.errors import BuildError
from tests.cluster.toolchain import find_go, parse_go_version


@pytest.mark.parametrize(
    ("go_mod", "version"),
    [
        ("module x\n\nrequire k8s.io/kubernetes v1.36.3\n", "v1.36.3"),
        (
            "require (\n\tk8s.io/kubernetes-x v9.0.0\n\tk8s.io/kubernetes v1.2.3 // indirect\n)",
            "v1.2.3",
        ),
    ],
)
def test_required_version_is_read(go_mod: str, version: str) -> None:
    assert parse_required_version(go_mod, "k8s.io/kubernetes") == version


def test_missing_requirement_is_an_error() -> None:
    with pytest.raises(BuildError, match="requires no a/b"):
        parse_required_version("module x\nrequire a/c v1.0.0\n", "a/b")


def test_version_is_built_into_the_programs() -> None:
    flags = " ".join(KUBERNETES.build_flags())
    assert f"component-base/version.gitVersion={KUBERNETES.version}" in flags
    assert "client-go/pkg/version.gitMinor=36" in flags
    assert f"internal/version.version={HELM.version}" in " ".join(HELM.build_flags())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_module_pins_every_dependency_with_a_checksum(module: GoModule) -> None:
    go_mod = (module.folder / "go.mod").read_text()
    if "require" in go_mod:
        checksums = (module.folder / "go.sum").read_text()
        assert f"{module.version_of} {module.version} h1:" in checksums


def test_entry_changes_with_the_module_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cluster.binaries.GO_FOLDER", tmp_path)
    module = GoModule("m", (), "a/b")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "go.mod").write_text("require a/b v1.0.0\n")
    before = module_entry(module)
    (tmp_path / "m" / "README.md").write_text("not part of it")
    assert module_entry(module) == before
    (tmp_path / "m" / "go.mod").write_text("require a/b v1.0.1\n")
    assert module_entry(module) != before


def test_entry_changes_with_how_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    before = module_entry(KUBERNETES)
    monkeypatch.setattr("tests.cluster.binaries.BUILD_CHANGES", ("cgo",))
    assert module_entry(KUBERNETES) != before


def test_missing_binary_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    with pytest.raises(BuildError, match=r"kubelet is not built yet; run: python -m"):
        binary(KUBERNETES, "kubelet")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.19.8 linux/amd64", (1, 19)),
        ("", (0, 0)),
    ],
)
def test_go_version_is_read(text: str, version: tuple[int, int]) -> None:
    assert parse_go_version(text) == version


def test_compiler_is_found_where_its_standard_library_is(tmp_path: Path) -> None:
    for folder in ("bin", "pkg/go/bin", "pkg/go/src"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin" / "go").touch()  # a wrapper script, as Python packages install
    (tmp_path / "pkg/go/bin/go").touch()
    assert find_go(tmp_path) == tmp_path / "pkg/go/bin/go"


def test_key_depends_on_where_parts_end() -> None:
    assert build_key("ab", "c") != build_key("a", "bc")
    assert build_key("ab", b"c") == build_key("ab", "c")


def find_image(folder: Path) -> Path:
    return images._archive("localhost/a:1", {"bin/a": folder / "a"}, ["/bin/a"])


def find_disk(folder: Path) -> Path:
    return node_disk.ensure_disk([folder / "a"], str)


@pytest.mark.parametrize(
    ("module", "find"),
    [
        (images, find_image),
        (images.oci, find_image),
        (node_disk, find_disk),
        (kubeflow, lambda _: kubeflow.ensure_manifests(str)),
    ],
    ids=["image", "archive", "disk", "manifests"],
)
def test_what_is_kept_is_made_anew_when_the_code_that_makes_it_changes(
    module: ModuleType,
    find: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for maker in (images, node_disk, kubeflow):
        monkeypatch.setattr(maker, "make_once", lambda entry, *_, **__: entry)
    monkeypatch.setattr(node_disk.os, "utime", lambda _: None)
    monkeypatch.setattr(node_disk, "_forget_unused", lambda _: None)
    (tmp_path / "a").write_text("a program")
    before = find(tmp_path)
    assert find(tmp_path) == before
    changed = tmp_path / "changed.py"
    changed.write_bytes(Path(str(module.__file__)).read_bytes() + b"# another")
    monkeypatch.setattr(module, "__file__", str(changed))
    assert find(tmp_path) != before


def test_racing_builders_build_once(tmp_path: Path) -> None:
    built = []

    def build(path: Path) -> None:
        built.append(path)
        path.write_text("whole")

    threads = [
        threading.Thread(target=make_once, args=(tmp_path / "entry", build)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert (tmp_path / "entry").read_text() == "whole"


def test_failed_build_leaves_no_entry_and_the_next_starts_clean(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise BuildError("no")

    with pytest.raises(BuildError):
        make_once(tmp_path / "entry", fail)
    assert [path.name for path in tmp_path.iterdir()] == [
        ".entry.lock"
    ]  # a full disk is full enough
    entry = make_once(tmp_path / "entry", Path.mkdir)
    assert list(entry.iterdir()) == []


def test_old_versions_go_only_where_that_is_said(tmp_path: Path) -> None:
    for number in range(4):
        make_once(tmp_path / f"x-{number}", Path.touch)
        os.utime(tmp_path / f"x-{number}", times=(number, number))
    make_once(tmp_path / "x-4", Path.touch)
    assert len(list(tmp_path.glob("x-*"))) == 5
    make_once(tmp_path / "x-5", Path.touch, forgets=True)
    assert sorted(path.name for path in tmp_path.glob("x-*")) == ["x-4", "x-5"]


def test_use_is_noted(tmp_path: Path) -> None:
    entry = make_once(tmp_path / "entry", Path.touch)
    os.utime(entry, times=(0, 0))
    make_once(entry, Path.touch)
    assert entry.stat().st_mtime > 0
