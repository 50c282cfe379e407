"""The schemas of other operators' resources that the chart makes, from their own Go modules.

Downloaded once into the cache, by pinned version and checksum; nothing of theirs is kept in the tree.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tests.cluster.cache import build_key, cache_folder, make_once
from tests.cluster.toolchain import ensure_go


@dataclass(frozen=True)
class Module:
    """A module, its checksum, and the folder with its definitions."""

    path: str
    checksum: str
    folder: str
    group: str
    plurals: tuple[str, ...]


MODULES = (
    Module(
        "github.com/grafana/grafana-operator/v5@v5.18.0",
        "h1:ei7N2VfjsRjY8iprenH1IDV783WeV7CP5VNp//sB4hI=",
        "config/crd/bases",
        "grafana.integreatly.org",
        ("grafanadashboards",),
    ),
    Module(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd",
        "monitoring.coreos.com",
        ("podmonitors", "prometheusrules", "servicemonitors"),
    ),
)
GROUPS = {module.group for module in MODULES}


def fetch_schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of each resource by its apiVersion and kind; unknown fields are errors in it."""
    schemas = {}
    for module in MODULES:
        entry = cache_folder() / "definitions" / build_key(module.path, *module.plurals)
        folder = make_once(entry, lambda target, module=module: _download(module, target))
        for plural in module.plurals:
            text = (folder / f"{module.group}_{plural}.yaml").read_text()
            definition = YAML(typ="safe").load(text)["spec"]
            for version in definition["versions"]:
                key = (f"{module.group}/{version['name']}", definition["names"]["kind"])
                schemas[key] = close_schema(version["schema"]["openAPIV3Schema"])
    return schemas


def _download(module: Module, target: Path) -> None:
    # The checksum is ours to compare: the public database of sums is not asked.
    environment = {**os.environ, "GONOSUMDB": "*", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(ensure_go()), "mod", "download", "-json", module.path],
        cwd=target.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout or "{}")
    assert found.get("Sum") == module.checksum, done.stdout + done.stderr
    target.mkdir()
    for plural in module.plurals:
        name = f"{module.group}_{plural}.yaml"
        (target / name).write_bytes((Path(found["Dir"]) / module.folder / name).read_bytes())


def close_schema(schema: Any) -> Any:
    """The schema, refusing fields that it does not name, as a strict API server does."""
    if isinstance(schema, list):
        return [close_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close_schema(value) for key, value in schema.items()}
    properties = schema.get("properties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    # `metadata` is named without fields: the API server knows them.
    if isinstance(properties, dict) and schema.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    return closed


def find_faults(found: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What is wrong with an object, each as `path: message`."""
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(found)
    ]
