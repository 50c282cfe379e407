"""Defaults that a manifest leaves out, with the API's own words."""

from typing import Any

import pytest
from trainwright_api.resources import FineTuneJob, TrainingRun
from trainwright_cli.defaults import Default, list_defaults

from tests.unit.cli.manifests import a_fine_tune_job, a_training_run


def defaults_of(manifest: dict[str, Any]) -> dict[str, Default]:
    kind = TrainingRun if manifest["kind"] == "TrainingRun" else FineTuneJob
    return {default.path: default for default in list_defaults(kind.model_validate(manifest).spec)}


def test_a_given_field_is_no_default() -> None:
    given = defaults_of(a_training_run(optimizer={"learningRate": 1e-3}))
    assert "spec.optimizer.learningRate" not in given
    assert given["spec.optimizer.weightDecay"].shown == "0.1"


def test_items_of_lists_are_looked_into() -> None:
    assert defaults_of(a_training_run())["spec.data.sources[0].weight"].value == 1.0


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("spec.schedule.warmupFraction", "0.05 if warmupSteps is not given"),
        ("spec.schedule.minimumFraction", "0.1, none with Constant"),
        ("spec.schedule.decayFraction", "0.2 with WarmupStableDecay"),
        ("spec.adapter.alpha", "twice the rank"),
        ("spec.output.uri", "model/ beside them"),
        ("spec.precision", "BF16"),
        ("spec.adapter.targetModules", "['AllLinear']"),
    ],
)
def test_a_value_that_depends_is_shown_in_the_words_of_its_description(
    path: str, shown: str
) -> None:
    assert defaults_of(a_fine_tune_job())[path].shown == shown


@pytest.mark.parametrize(
    "path",
    [
        "spec.deadlineSeconds",
        "spec.checkpoints.resumeFrom",
        "spec.output.samplePrompts",
        "spec.data.validation",
    ],
)
def test_fields_without_a_default_are_not_listed(path: str) -> None:
    assert path not in defaults_of(a_fine_tune_job())
