"""Kubeconfig files for the components and for people. Pure, apart from writing one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.cluster.certificates import Pair, write_secret


def build_kubeconfig(server: str, authority: Pair, client: Pair, name: str) -> dict[str, Any]:
    """A kubeconfig with everything inside, so that it can be copied anywhere."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": _encode(authority.certificate_pem()),
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _encode(client.certificate_pem()),
                    "client-key-data": _encode(client.key_pem()),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def write_kubeconfig(path: Path, server: str, authority: Pair, client: Pair, name: str) -> None:
    """Write it, readable by its owner alone; JSON, which is YAML too."""
    text = json.dumps(build_kubeconfig(server, authority, client, name), indent=1)
    write_secret(path, text.encode())


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
