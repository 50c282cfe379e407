"""`trainwright plan`: tables for people, data for machines, exit codes for pipelines."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from ruamel.yaml import YAML
from trainwright_cli.app import app
from trainwright_cli.errors import ExitCode
from trainwright_cli.plan_view import bar

from tests.unit.cli.manifests import EXAMPLES, a_fine_tune_job, a_training_run, invoke, write

BASE_CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 1000,
}


def plan_of(*arguments: str) -> dict[str, Any]:
    done = invoke("plan", *arguments, "-o", "json")
    assert done.exit_code == ExitCode.OK, done.output
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def test_every_term_and_decision_is_shown_with_its_reason(tmp_path: Path) -> None:
    done = invoke("plan", "-f", write(tmp_path, a_training_run()))
    assert done.exit_code == ExitCode.OK
    for term in ("parameters", "gradients", "optimizer", "activations", "logits", "buffers"):
        assert any(line.startswith(term) for line in done.output.splitlines())
    for decision in ("zeroStage", "microSequences", "accumulationSteps", "totalSteps", "fits"):
        assert decision in done.output
    assert "fits in 3.00 GiB per device" in done.output


def test_on_a_narrow_terminal_the_bars_give_way_to_figures_and_reasons(tmp_path: Path) -> None:
    path = write(tmp_path, a_training_run())
    narrow = CliRunner().invoke(app, ["plan", "-f", path], env={"COLUMNS": "40"}).output
    memory = narrow.partition("Decisions")[0].splitlines()[1:]
    assert all(len(line) <= 40 for line in narrow.splitlines())
    figures = {words[0]: words[1] for words in map(str.split, memory) if line_begins(words)}
    wide = invoke("plan", "-f", path).output.partition("Decisions")[0]
    assert all(f"{name} {figure}" in " ".join(wide.split()) for name, figure in figures.items())
    assert len(figures) == 7
    assert "fits in 3.00 GiB per device" in " ".join(line[30:].strip() for line in memory)


def line_begins(words: list[str]) -> bool:
    """Whether these are a term and its figure, not the rest of a reason."""
    return len(words) > 2 and words[0].isalpha() and "." in words[1]


def test_the_demos_plan_is_the_planners(tmp_path: Path) -> None:
    found = plan_of("-f", str(EXAMPLES / "stdlib-gpt.yaml"))
    assert (found["kind"], found["name"]) == ("TrainingRun", "stdlib-gpt")
    assert (found["plan"]["zeroStage"], found["plan"]["fits"]) == (0, True)
    assert 10_000_000 < found["plan"]["parameters"] < 20_000_000


def test_yaml_output_is_the_same_data(tmp_path: Path) -> None:
    path = write(tmp_path, a_training_run())
    text = invoke("plan", "-f", path, "-o", "yaml").stdout
    assert YAML(typ="safe").load(text)[0] == plan_of("-f", path)


def test_defaults_lists_what_the_manifest_leaves_out(tmp_path: Path) -> None:
    path = write(tmp_path, a_training_run())
    found = {entry["field"]: entry for entry in plan_of("-f", path, "--defaults")["defaults"]}
    assert found["spec.optimizer.learningRate"]["value"] == 0.0003
    assert "Peak learning rate" in found["spec.optimizer.learningRate"]["reason"]
    assert "spec.budget.steps" not in found
    assert "spec.deadlineSeconds" not in found, "it has no default"
    assert all(entry["reason"] for entry in found.values())
    assert "spec.optimizer.learningRate" in invoke("plan", "-f", path, "--defaults").output


def test_a_run_that_does_not_fit_ends_with_1_and_the_remedy(tmp_path: Path) -> None:
    workers = {"nodes": 2, "accelerator": "None", "resources": {"memory": "512Mi"}}
    done = invoke("plan", "-f", write(tmp_path, a_training_run(workers=workers)))
    assert done.exit_code == ExitCode.FAILED
    assert "DOES NOT FIT in 0.50 GiB per device" in done.output
    assert done.stderr.startswith("error: TrainingRun/stdlib-gpt does not fit: needs ")
    assert done.stderr.endswith("raise spec.workers.resources.memory\n")


def test_settings_that_contradict_each_other_are_invalid(tmp_path: Path) -> None:
    config = {"hidden_size": 65, "num_attention_heads": 4}
    path = write(tmp_path, a_training_run(model={"architecture": "llama", "config": config}))
    done = invoke("plan", "-f", path)
    assert done.exit_code == ExitCode.INVALID
    assert "spec.model.config.hidden_size: got 65, expected a multiple of the 4" in done.stderr


def test_a_base_model_that_cannot_be_read_here_is_planned_in_the_pod(tmp_path: Path) -> None:
    path = write(tmp_path, a_fine_tune_job(baseModel={"uri": "hf://someone/model"}))
    done = invoke("plan", "-f", path)
    assert done.exit_code == ExitCode.OK
    assert "FineTuneJob/chat: decided in the pod" in done.output
    found = plan_of("-f", path)
    assert found["plan"] is None
    assert "--model-config" in found["reason"]


def test_a_base_models_config_may_be_given(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(BASE_CONFIG))
    path = write(tmp_path, a_fine_tune_job(baseModel={"uri": "hf://someone/model"}))
    found = plan_of("-f", path, "--model-config", str(config))
    assert 0 < found["plan"]["trainableParameters"] < found["plan"]["parameters"]
    assert found["plan"].get("totalSteps") == 20


def test_a_base_models_config_is_read_from_a_rewritten_folder(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "base"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(BASE_CONFIG))
    path = write(tmp_path, a_fine_tune_job())
    found = plan_of("-f", path, "--rewrite", f"s3://models/={tmp_path}/models/")
    assert found["plan"]["parameters"] > 100_000


def test_overrides_of_the_config_count_for_weights_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BASE_CONFIG))
    planned = []
    for config in ({}, {"num_hidden_layers": 1}):
        model = {"weights": {"uri": "s3://models/base/"}, "config": config}
        path = write(tmp_path, a_training_run(model=model, tokenizer={}))
        found = plan_of("-f", path, "--rewrite", f"s3://models/base/={tmp_path}/")
        planned.append(found["plan"]["parameters"])
    assert planned[1] < planned[0]


def test_a_config_that_is_none_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("[]")
    path = write(tmp_path, a_fine_tune_job())
    done = invoke("plan", "-f", path, "--model-config", str(config))
    assert done.exit_code == ExitCode.FAILED
    assert "has no model_type" in done.stderr


def test_a_reference_to_another_run_is_taken_as_finished(tmp_path: Path) -> None:
    path = write(tmp_path, a_fine_tune_job(baseModel={"run": {"name": "stdlib-gpt"}}))
    assert invoke("plan", "-f", path).exit_code == ExitCode.OK


def test_bars_are_as_long_as_the_share() -> None:
    assert [bar(share, 4) for share in (0, 0.125, 0.5, 1, 7)] == [
        "    ",
        "▌   ",
        "██  ",
        "████",
        "████",
    ]
