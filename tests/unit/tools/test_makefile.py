"""What make tells all that it starts."""

import os
import subprocess

import pytest

from tools.machine import PROJECT

LOOPBACK = ",127.0.0.1,localhost"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": "a.example,10.0.0.0/8"}, f"a.example,10.0.0.0/8{LOOPBACK}"),
        ({"no_proxy": "b.example", "NO_PROXY": "a.example"}, f"b.example{LOOPBACK}"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_no_proxy_leads_to_loopback(given: dict[str, str], expected: str) -> None:
    shown = subprocess.run(
        ["make", "--silent", "--eval", 'show:; @echo "$$no_proxy|$$NO_PROXY"', "show"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{expected}|{expected}\n"
