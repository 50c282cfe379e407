"""What is generated from the API is up to date, and the API stays quick and light to import."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api.generate import build_files

PROJECT = Path(__file__).resolve().parents[2]
MODULES = ("trainwright_api.resources", "trainwright_api.validate", "trainwright_api.resolve")
HEAVY = (
    "boto3",
    "click",
    "deepspeed",
    "kopf",
    "kubeflow",
    "kubernetes",
    "numpy",
    "peft",
    "prompt_toolkit",
    "pyarrow",
    "rich",
    "torch",
    "transformers",
    "typer",
)
MOST_BYTES_OF_A_DEFINITION = 200_000
MOST_SECONDS_OF_AN_IMPORT = 1.5  # of the processor, on a busy machine; 0.25 is usual


def generate(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "trainwright_api.generate", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_generated_files_are_up_to_date() -> None:
    done = generate(PROJECT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_check_names_what_is_stale_and_writes_nothing(tmp_path: Path) -> None:
    for path in build_files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / path, tmp_path / path)
    stale = tmp_path / "crds" / "reference.md"
    stale.write_text("# Another page\n")
    done = generate(tmp_path, "--check")
    assert done.returncode == 1
    assert done.stderr == "crds/reference.md: not up to date; run `make generate`\n"
    assert stale.read_text() == "# Another page\n"
    assert generate(tmp_path).returncode == 0
    assert generate(tmp_path, "--check").returncode == 0


def test_the_chart_has_the_same_definitions() -> None:
    for path in sorted((PROJECT / "crds").glob("trainwright.dev_*.yaml")):
        copy = PROJECT / "helm" / "trainwright" / "files" / "crds" / path.name
        assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", [p for p in build_files() if p.parts[0] == "crds"], ids=str)
def test_definitions_are_small(path: Path) -> None:
    assert (PROJECT / path).stat().st_size < MOST_BYTES_OF_A_DEFINITION


@pytest.mark.parametrize("module", MODULES)
def test_importing_the_api_is_light(module: str) -> None:
    script = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert set(done.stdout.split()).isdisjoint(HEAVY)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < MOST_SECONDS_OF_AN_IMPORT


def test_validating_does_not_import_more() -> None:
    script = (
        "import sys\n"
        "from trainwright_api.validate import load_documents, validate_document\n"
        "for document in load_documents(open(sys.argv[1]).read(), ''):\n"
        "    assert validate_document(document) == []\n"
        "print(*{m.split('.')[0] for m in sys.modules})"
    )
    example = PROJECT / "crds" / "examples" / "stdlib-gpt.yaml"
    done = subprocess.run(
        [sys.executable, "-c", script, str(example)], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()).isdisjoint(HEAVY)
