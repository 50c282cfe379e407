"""The demo without a cluster: the same two manifests through `trainwright run --local`."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from demo import manifests
from demo.console import Console
from demo.data import ensure_data
from demo.errors import DemoError
from demo.monitoring import describe_dashboards
from demo.settings import Settings
from demo.summary import describe_times
from tools.machine import cache_folder


def run_locally(settings: Settings, console: Console) -> int:
    """Train both models on this machine; checkpoints and models go to a folder in the cache."""
    with console.stage("Fetch data and model"):
        data = ensure_data()
    output = cache_folder() / "demo" / "runs"
    output.mkdir(parents=True, exist_ok=True)
    names = (manifests.PRETRAINING, manifests.FINE_TUNING)
    for name in names if settings.fine_tunes else names[:1]:
        with console.stage(f"Train {name} locally"):
            run_example(name, settings, data, output, console)
    console.show("\n" + describe_times(console.seconds_of_stage, console.seconds()))
    console.show(f"\nModels and checkpoints: {output}")
    console.show("\n" + describe_dashboards(lambda: "there are no pods to scrape", "", (), 0))
    return 0


def run_example(name: str, settings: Settings, data: Path, output: Path, console: Console) -> None:
    """Run an example with the data's folder for its buckets; raises DemoError if it fails."""
    manifest = manifests.read_example(name)
    manifest = manifests.with_steps(manifest, settings.num_steps)
    file = output / f"{name}.yaml"
    file.write_text(json.dumps(manifest, indent=1))  # JSON is YAML too
    command = ["run", "--local", "-f", str(file), "--work-dir", str(output)]
    for bucket in ("datasets", "models"):
        command += ["--rewrite", f"s3://{bucket}/={data / bucket}/"]
    console.say(f"trainwright {shlex.join(command)}")
    code = subprocess.run(
        [sys.executable, "-m", "trainwright_cli", *command], check=False
    ).returncode
    if code:
        raise DemoError(f"{name} ended with exit code {code}; its message is above")
