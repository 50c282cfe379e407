"""The table of manifests against a real API server: its verdicts are those of the CLI, row by row.

tests/unit/api feeds the same table to `trainwright_api.validate`.
"""

from pathlib import Path

import pytest
from trainwright_api.defaulting import fill_in
from trainwright_api.resources import FineTuneJob, TrainingRun
from trainwright_api.validate import load_documents

from tests.apiserver.kinds import Kinds
from tests.manifests import BAD, GOOD, UPDATES, Bad, Good, Update

EXAMPLES = Path(__file__).resolve().parents[2] / "crds" / "examples"
MODELS = {"TrainingRun": TrainingRun, "FineTuneJob": FineTuneJob}


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row.name)
def test_good_manifests_are_taken_and_filled_in_as_the_api_does(kinds: Kinds, row: Good) -> None:
    manifest = row.build()
    answer = kinds.create(manifest)
    assert answer.message == ""
    assert answer.body["spec"] == fill_in(MODELS[row.kind], manifest)["spec"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_taken(kinds: Kinds, path: Path) -> None:
    for document in load_documents(path.read_text(), path.name):
        assert kinds.create(document.manifest).message == ""


@pytest.mark.parametrize("row", BAD, ids=lambda row: row.name)
def test_bad_manifests_are_refused_with_the_reason(kinds: Kinds, row: Bad) -> None:
    message = kinds.create(row.build()).message
    assert (row.server or row.says) in message
    # It names all labels, not the one. Metadata of wrong types is refused while it is decoded, by the
    # name of the field in Go.
    path = "metadata.labels" if row.path.startswith("metadata.labels.") else row.path
    assert path in message or "Go struct field ObjectMeta." in message


@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.name)
def test_updates_are_taken_or_refused(kinds: Kinds, row: Update) -> None:
    created = kinds.create(row.build_before(), dry_run=False)
    assert created.message == ""
    try:
        after = row.build_after()
        after["metadata"]["resourceVersion"] = created.body["metadata"]["resourceVersion"]
        message = kinds.replace(after).message
    finally:
        kinds.delete(created.body)
    if row.path:
        assert f"{row.path}: Invalid value" in message
        assert row.says in message
    else:
        assert message == ""
