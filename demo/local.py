"""The demo without a cluster: the same two manifests through `trainwright run --local`.

As on a cluster, each call trains afresh. Ctrl+C is the command line's to answer: it lets the trainer save.
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

from trainwright_cli.errors import CliError
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.locking import hold_lock

from demo import manifests
from demo.console import Console
from demo.data import ensure_data
from demo.errors import DemoError, DemoStoppedError
from demo.monitoring import describe_dashboards
from demo.settings import Settings
from demo.summary import describe_times
from tools.interrupts import run_to_its_end
from tools.machine import cache_folder


def run_locally(settings: Settings, console: Console) -> int:
    """Train both models on this machine; checkpoints and models go to a folder in the cache."""
    output = cache_folder() / "demo" / "runs"
    try:
        train_examples(settings, output, console)
    except KeyboardInterrupt as stop:
        raise DemoStoppedError(
            f"stopped; nothing goes on. What is saved stays in {output} until the next `make demo`, "
            "which trains afresh"
        ) from stop
    console.show("\n" + describe_times(console.seconds_of_stage, console.seconds()))
    console.show(f"\nModels and checkpoints: {output}")
    console.show("\n" + describe_dashboards(lambda: "there are no pods to scrape", "", (), 0))
    return 0


def train_examples(settings: Settings, output: Path, console: Console) -> None:
    """Fetch the data and train the examples, one after another."""
    with console.stage("Fetch data and model"):
        data = ensure_data()
    output.mkdir(parents=True, exist_ok=True)
    names = (manifests.PRETRAINING, manifests.FINE_TUNING)
    for name in names if settings.fine_tunes else names[:1]:
        with console.stage(f"Train {name} locally"):
            run_example(name, settings, data, output, console)


def run_example(name: str, settings: Settings, data: Path, output: Path, console: Console) -> None:
    """Run an example afresh with the data's folder for its buckets; raises DemoError if it fails."""
    manifest = manifests.read_example(name)
    manifest = manifests.with_steps(manifest, settings.num_steps)
    delete_earlier_run(Folders(output, manifest["metadata"].get("namespace", "default"), name))
    file = output / f"{name}.yaml"
    file.write_text(json.dumps(manifest, indent=1))  # JSON is YAML too
    command = ["run", "--local", "-f", str(file), "--work-dir", str(output)]
    for bucket in ("datasets", "models"):
        command += ["--rewrite", f"s3://{bucket}/={data / bucket}/"]
    console.say(f"trainwright {shlex.join(command)}")
    # Through Ctrl+C too: it lets the trainer save.
    code = run_to_its_end([sys.executable, "-m", "trainwright_cli", *command])
    if code:
        raise DemoError(f"{name} ended with exit code {code}; its message is above")


def delete_earlier_run(folders: Folders) -> None:
    """Delete what an earlier call has trained and noted; raises DemoError while it still trains."""
    try:
        with hold_lock(folders):
            for path in (folders.run_checkpoints, *folders.own.iterdir()):
                if path.is_dir():
                    shutil.rmtree(path)
                elif path != folders.lock_file:
                    path.unlink(missing_ok=True)
    except CliError as problem:
        raise DemoError(f"an earlier `make demo` still trains here: {problem}") from problem
