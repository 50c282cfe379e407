"""Without Debian's Prometheus the tests that need it are skipped by reason; in CI they fail."""

import os
import unittest
from pathlib import Path

import pytest

from tests.monitoring.prometheus import NoPrometheusError, fetch_prometheus


@pytest.fixture(params=["no apt-get", "no root and no lists"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, where the package cannot be had."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if request.param != "no apt-get":
        apt_get = tmp_path / "apt-get"
        apt_get.write_text("#!/bin/sh\nexit 100\n")
        apt_get.chmod(0o755)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path / "cache"


def test_a_test_that_needs_it_is_skipped_by_reason(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(unittest.SkipTest, match=r"^no prometheus: .*apt-get"):
        fetch_prometheus(cache)


def test_in_ci_it_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(NoPrometheusError) as failed:
        fetch_prometheus(cache)
    assert not isinstance(failed.value, unittest.SkipTest)
