"""What validate tells, and in which order; single rules are in the table of manifests."""

from typing import Any

import pytest
from trainwright_api.resources import FineTuneJob, TrainingRun
from trainwright_api.validate import (
    Document,
    InvalidManifestError,
    load_documents,
    parse_resource,
    validate_document,
)

from tests.manifests.build import JOB, REMOVED, RUN, build, put

MANY_FAULTS = """\
apiVersion: trainwright.dev/v1alpha1
kind: TrainingRun
metadata: {name: 9bad}
spec:
  model: {architecture: llama}
  optimiser: {}
  tokenizer: {train: {}}
  data:
    sources:
      - {uri: "gs://bucket/", format: Text}
      - {uri: "s3://bucket/", format: Txt}
  budget: {tokens: 400k, steps: 5}
  precision: BF8
  parallelism: {zeroStage: 4}
  workers: {nodes: two}
  checkpoints: {store: {uri: "s3://checkpoints/"}, everySteps: 5, everyMinutes: 5}
"""


def find(manifest: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in validate_document(Document(manifest, ""))]


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    (document,) = load_documents(MANY_FAULTS, "run.yaml")
    problems = validate_document(document)
    assert [(problem.line, problem.path) for problem in problems] == [
        (3, "metadata.name"),
        (6, "spec.optimiser"),
        (10, "spec.data.sources[0].uri"),
        (11, "spec.data.sources[1].format"),
        (12, "spec.budget"),
        (13, "spec.precision"),
        (14, "spec.parallelism.zeroStage"),
        (15, "spec.workers.nodes"),
        (16, "spec.checkpoints"),
    ]


def test_rules_that_need_a_value_of_a_wrong_type_are_left_out() -> None:
    """Nodes are no number: whether they divide the batch is not known, the rest is."""
    found = find(build(RUN, {"workers.nodes": "2", "batch.globalSequences": 15, "seed": -1}))
    assert found == [
        'spec.workers.nodes: got "2", expected a whole number; write it without quotes',
        "spec.seed: got -1, expected at least 0; change it",
    ]


def test_a_number_or_word_of_another_type_is_told_once() -> None:
    assert find(build(RUN, {"parallelism": {"zeroStage": True}})) == [
        "spec.parallelism.zeroStage: got true, expected a whole number or text; write it in quotes"
    ]


@pytest.mark.parametrize("value", [None, {}, [], "llama", 5, True, 10**25, 1e300, [[]], [None]])
def test_no_value_of_any_type_breaks_validation(value: Any) -> None:
    """None ends in an exception, and what cannot be is refused."""
    fields = ("data", "data.sources", "workers.env", "workers.env.0.name", "checkpoints")
    numbers = ("budget.tokens", "batch.microSequences", "workers.resources.cpu")
    for path in (*fields, *numbers):
        for kind in (RUN, JOB):
            manifest = build(kind, {"workers.env": [{"value": "1"}]})
            put(manifest, f"spec.{path}", value)
            found = find(manifest)
            assert found or value in (None, 5, [], "llama")


@pytest.mark.parametrize("metadata", [None, {}, [], "name", {"name": ""}, {"labels": {}}])
def test_a_name_is_needed(metadata: Any) -> None:
    assert find(build(RUN) | {"metadata": metadata}) == [
        "metadata.name: got nothing, expected a name; add metadata: {name: ...}"
    ]


def test_a_name_may_be_generated() -> None:
    manifest = build(RUN) | {"metadata": {"generateName": "trial-"}}
    assert find(manifest) == []
    assert find(manifest | {"metadata": {"generateName": "9-"}})[0].startswith(
        "metadata.name: got 9-"
    )


def test_a_status_is_not_looked_at() -> None:
    assert find(build(RUN) | {"status": {"phase": "Nonsense"}}) == []


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({}, ["apiVersion: got nothing, expected trainwright.dev/v1alpha1; write that"]),
        (
            {"apiVersion": "trainwright.dev/v1alpha1", "kind": "trainingrun"},
            ["kind: got trainingrun, expected TrainingRun or FineTuneJob; write one of these"],
        ),
        (
            {"apiVersion": "trainwright.dev/v1alpha1", "kind": ["TrainingRun"]},
            ["kind: got ['TrainingRun'], expected TrainingRun or FineTuneJob; write one of these"],
        ),
    ],
)
def test_another_kind_is_refused(manifest: dict[str, Any], said: list[str]) -> None:
    assert find(manifest)[:1] == said


def test_problems_of_merged_parts_have_the_line_of_the_object_around() -> None:
    text = MANY_FAULTS.replace("{zeroStage: 4}", "{<<: {zeroStage: 4}}")
    (document,) = load_documents(text, "")
    lines = {problem.path: problem.line for problem in validate_document(document)}
    assert lines["spec.parallelism.zeroStage"] == 14


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\na: 2\n", 2, "not valid YAML: the key a is given twice"),
        ("- 1\n", None, "got list, expected an object with apiVersion and kind; correct the file"),
        ("text\n", None, "got str, expected an object"),
    ],
)
def test_load_documents_refuses_what_is_no_manifest(text: str, line: int, said: str) -> None:
    with pytest.raises(InvalidManifestError) as caught:
        load_documents(text, "run.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, caught.value.source) == (line, "run.yaml")
    assert said in problem.message


def test_load_documents_skips_empty_documents() -> None:
    documents = load_documents("---\n---\na: 1\n---\nb: 2\n", "run.yaml")
    assert [document.manifest for document in documents] == [{"a": 1}, {"b": 2}]


def test_parse_resource_returns_the_typed_object() -> None:
    run = parse_resource(build(RUN, {"model.config.rope_scaling": None}))
    assert isinstance(run, TrainingRun)
    assert run.spec.optimizer.learning_rate == 3e-4
    assert dict(run.spec.model.config)["rope_scaling"] is None
    job = parse_resource(build(JOB, {"adapter": REMOVED}))
    assert isinstance(job, FineTuneJob)
    assert job.spec.adapter.type == "None"


def test_parse_resource_raises_all_problems() -> None:
    with pytest.raises(InvalidManifestError) as caught:
        parse_resource(build(RUN, {"seed": -1, "budget": {}}))
    assert [problem.path for problem in caught.value.problems] == ["spec.seed", "spec.budget"]
    assert "spec.seed: got -1, expected at least 0" in str(caught.value)


def test_parse_resource_refuses_a_status_that_is_none() -> None:
    with pytest.raises(InvalidManifestError, match=r"status\.phase: got Nonsense, expected one of"):
        parse_resource(build(RUN) | {"status": {"phase": "Nonsense"}})


def test_parse_resource_compares_with_the_object_before() -> None:
    before = build(RUN)
    assert parse_resource(build(RUN, {"suspend": True}), before).spec.suspend
    with pytest.raises(InvalidManifestError, match=r"spec\.seed: got a change of seed, expected"):
        parse_resource(build(RUN, {"seed": 7}), before)
