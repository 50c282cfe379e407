"""The demo without a cluster: the same two manifests through `trainwright run --local`."""

import json
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from demo import manifests
from demo.console import Console
from demo.data import ensure_data
from demo.errors import DemoError
from demo.settings import Settings
from tools.machine import cache_folder


def run_locally(settings: Settings, console: Console) -> int:
    """Train both models on this machine; checkpoints and models go to a folder in the cache."""
    with console.stage("Fetch data and model"):
        data = ensure_data()
    output = cache_folder() / "demo" / "runs"
    output.mkdir(parents=True, exist_ok=True)
    precision = manifests.read_precision()
    for name in (manifests.PRETRAINING, manifests.FINE_TUNING):
        with console.stage(f"Train {name} locally"):
            run_example(name, precision, data, output, console)
    console.show(f"\nModels and checkpoints: {output}")
    return 0


def run_example(name: str, precision: str, data: Path, output: Path, console: Console) -> None:
    """Write the manifest with local addresses and run it; raises DemoError if it fails."""
    manifest = manifests.with_precision(manifests.read_example(name), precision)
    manifest = manifests.with_folder(manifest, data, output)
    file = output / f"{name}.yaml"
    with file.open("w") as stream:
        YAML(typ="safe").dump(json.loads(json.dumps(manifest)), stream)
    command = [sys.executable, "-m", "trainwright_cli", "run", "--local", "-f", str(file)]
    console.say(f"trainwright run --local -f {file}")
    code = subprocess.run(command, check=False).returncode
    if code:
        raise DemoError(f"{name} ended with exit code {code}; its message is above")
