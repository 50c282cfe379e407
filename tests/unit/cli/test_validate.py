"""`trainwright validate`: files, folders, stdin; all problems with their lines."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from trainwright_cli.errors import ExitCode
from trainwright_cli.output import to_yaml

from tests.unit.cli.manifests import (
    EXAMPLES,
    a_fine_tune_job,
    a_training_run,
    command,
    invoke,
    write,
)

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}}


def test_the_examples_are_valid() -> None:
    done = invoke("validate", "-f", str(EXAMPLES))
    assert done.exit_code == ExitCode.OK
    assert "stdlib-gpt.yaml: TrainingRun/stdlib-gpt is valid" in done.output


def test_all_problems_of_all_files_are_told_at_once_with_lines(tmp_path: Path) -> None:
    first = write(tmp_path, a_training_run(budget={"steps": 0}, nonsense=1), name="a.yaml")
    second = write(tmp_path, a_fine_tune_job(precision="BF61"), name="b.yaml")
    done = invoke("validate", "-f", first, "-f", second)
    assert done.exit_code == ExitCode.INVALID
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{first}:")
    assert "spec.budget.steps: got 0" in done.stderr
    assert "spec.nonsense: unknown field" in done.stderr
    assert "spec.precision: got BF61" in lines[-1]
    number = int(lines[-1].removeprefix(f"{second}:").partition(":")[0])
    assert "precision" in Path(second).read_text().splitlines()[number - 1]


def test_a_folder_is_read_and_documents_of_others_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, SECRET, a_training_run(), name="run.yaml")
    (tmp_path / "job.json").write_text(json.dumps(a_fine_tune_job()))
    (tmp_path / "notes.txt").write_text("not a manifest")
    done = invoke("validate", "-f", str(tmp_path))
    assert done.exit_code == ExitCode.OK
    assert "TrainingRun/stdlib-gpt is valid" in done.output
    assert "FineTuneJob/chat is valid" in done.output
    assert "left out 1 documents of other API groups" in done.stderr


def test_the_items_of_a_list_are_read_each_with_its_lines(tmp_path: Path) -> None:
    runs = [a_training_run(), a_fine_tune_job(precision="BF61"), SECRET]
    path = write(tmp_path, {"apiVersion": "v1", "kind": "List", "items": runs})
    done = invoke("validate", "-f", path)
    (told, left_out) = done.stderr.splitlines()
    number, _, problem = told.removeprefix(f"{path}:").partition(": ")
    assert problem.startswith("spec.precision: got BF61")
    assert "BF61" in Path(path).read_text().splitlines()[int(number) - 1]
    assert left_out == "left out 1 documents of other API groups"
    listed = write(tmp_path, {"apiVersion": "v1", "kind": "List", "items": ["x"]})
    assert "items[0]: got str, expected an object" in invoke("validate", "-f", listed).stderr


def test_a_run_whose_name_is_to_be_generated_is_named_by_its_beginning(tmp_path: Path) -> None:
    manifest = a_training_run() | {"metadata": {"generateName": "trial-"}}
    done = invoke("validate", "-f", write(tmp_path, manifest))
    assert (done.exit_code, done.stderr) == (ExitCode.OK, "")
    assert "TrainingRun/trial-* is valid" in done.output


def test_what_trains_on_this_machine_has_its_own_name(tmp_path: Path) -> None:
    manifest = a_training_run() | {"metadata": {"generateName": "trial-"}}
    work = str(tmp_path / "w")
    done = invoke("run", "-f", write(tmp_path, manifest), "--local", "--work-dir", work)
    assert done.exit_code == ExitCode.INVALID
    assert "metadata.name: got generateName alone, expected a name" in done.stderr
    assert not (tmp_path / "w").exists()


def test_stdin_is_read() -> None:
    assert invoke("validate", "-f", "-", stdin=to_yaml(a_training_run())).exit_code == ExitCode.OK
    done = invoke("validate", "-f", "-", stdin="spec: [")
    assert done.exit_code == ExitCode.INVALID
    assert done.stderr.startswith("stdin:1: not valid YAML")
    done = invoke("validate", "-f", "-", stdin=b"kind: \xff")
    assert done.exit_code == ExitCode.INVALID
    assert "-f -: not UTF-8 text" in done.stderr


def test_stdin_is_utf_8_whatever_the_locale_says() -> None:
    text = to_yaml(a_training_run(precision="größer"))
    done = subprocess.run(
        command("validate", "-f", "-", "-o", "json"),
        input=text.encode(),
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert "got größer, expected" in json.loads(done.stdout)["problems"][0]["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: TrainingRun\n", "apiVersion: got nothing, expected trainwright.dev/v1alpha1"),
        ("apiVersion: trainwright.dev/v1\nkind: TrainingRun\n", "got trainwright.dev/v1, expected"),
        ("apiVersion: v1\nkind: Pod\n", "got no document of trainwright.dev"),
        ("", "got no document of trainwright.dev"),
        ("- 1\n", "expected an object"),
    ],
)
def test_what_is_no_manifest_of_ours_is_invalid(text: str, said: str) -> None:
    done = invoke("validate", "-f", "-", stdin=text)
    assert done.exit_code == ExitCode.INVALID
    assert said in done.stderr


def test_machines_get_the_problems_as_data(tmp_path: Path) -> None:
    path = write(tmp_path, a_training_run(budget={"steps": 0}))
    done = invoke("validate", "-f", path, "-o", "json")
    assert done.exit_code == ExitCode.INVALID
    found = json.loads(done.stdout)
    assert (found["valid"], found["documents"]) == (False, 1)
    assert found["problems"][0]["path"] == "spec.budget.steps"
    assert found["problems"][0]["source"] == path
    assert isinstance(found["problems"][0]["line"], int)


def test_a_folder_without_manifests_is_a_usage_error(tmp_path: Path) -> None:
    done = invoke("validate", "-f", str(tmp_path))
    assert done.exit_code == ExitCode.INVALID
    assert "has no .yaml, .yml, .json files" in done.stderr
