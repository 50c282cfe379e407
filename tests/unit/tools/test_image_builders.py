"""The images' private store on a machine that has built nothing yet, and what is read by whom."""

import os
import subprocess
from pathlib import Path

import pytest

from tools.images.build import _secrets
from tools.images.builders import Builder, empty_private_store_if_large, run
from tools.images.stand_in import _HOOKS


def test_a_store_without_layers_is_not_large(tmp_path: Path) -> None:
    settings = tmp_path / "storage.conf"
    settings.touch()
    builder = Builder("false", {"CONTAINERS_STORAGE_CONF": str(settings)})
    empty_private_store_if_large(builder)
    (tmp_path / "graph").mkdir()
    empty_private_store_if_large(builder)


def test_the_stand_in_keeps_every_licence(tmp_path: Path) -> None:
    package = tmp_path / "usr" / "share" / "doc" / "bash"
    package.mkdir(parents=True)
    (package / "copyright").touch()
    (package / "README.gz").touch()
    for folder in ("man", "locale"):
        (tmp_path / "usr" / "share" / folder / "de").mkdir(parents=True)
    hooks = [hook for hook in _HOOKS if "/usr/share/" in hook]
    for hook in hooks:
        subprocess.run(["sh", "-ec", hook, "sh", str(tmp_path)], check=True)
    assert [path.name for path in package.iterdir()] == ["copyright"]
    assert [path.name for path in (tmp_path / "usr" / "share").iterdir()] == ["doc"]


def test_a_command_gets_the_umask_that_is_asked_for() -> None:
    before = os.umask(0o077)
    try:
        assert run(["sh", "-c", "umask"], {}, 0o022).strip() == "0022"
        assert run(["sh", "-c", "umask"], {}).strip() == "0077"
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("configuration", "kept"), [("", ""), ("/dev/null", ""), ("pip.ini", "timeout = 60\n")]
)
def test_the_index_of_the_environment_goes_before_the_one_of_pips_configuration(
    configuration: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.ini").write_text("[global]\ntimeout = 60\nindex-url = https://other/\n")
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", configuration)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    with _secrets() as (secret,):
        written = Path(secret.removeprefix("--secret=id=pip-config,src="))
        wanted = f"[global]\n{kept}index-url = https://index.example/simple"
        assert written.read_text().strip() == wanted
        assert written.stat().st_mode & 0o077 == 0
    assert not written.exists()
