"""The table of manifests through the CLI's checks; tests/apiserver feeds it to a real API server."""

from pathlib import Path

import pytest
from trainwright_api.base import Model, Rule
from trainwright_api.defaulting import fill_in, find_model
from trainwright_api.resources import KINDS
from trainwright_api.rules import find_violations
from trainwright_api.validate import Document, load_documents, validate_document

from tests.manifests import BAD, GOOD, UPDATES, Bad, Good, Update

EXAMPLES = Path(__file__).resolve().parents[3] / "crds" / "examples"


def test_the_table_is_large_enough_and_its_names_are_unique() -> None:
    assert len(BAD) >= 60
    assert len(GOOD) >= 20
    for rows in (BAD, GOOD, UPDATES):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row.name)
def test_good_manifests_have_no_problem(row: Good) -> None:
    assert validate_document(Document(row.build(), "")) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples_have_no_problem(path: Path) -> None:
    documents = load_documents(path.read_text(), path.name)
    assert documents
    assert [validate_document(document) for document in documents] == [[] for _ in documents]


@pytest.mark.parametrize("row", BAD, ids=lambda row: row.name)
def test_bad_manifests_have_the_one_problem_that_is_expected(row: Bad) -> None:
    (problem,) = validate_document(Document(row.build(), ""))
    assert problem.path == row.path
    assert row.says in problem.message


def rules_of(model: type[Model]) -> set[Rule]:
    below = [find_model(field.annotation) for field in model.model_fields.values()]
    return set(model.RULES).union(*(rules_of(child) for child in below if child))


def broken_by(row: Bad | Update) -> set[Rule]:
    model = KINDS[row.kind]
    before = fill_in(model, row.build_before()) if isinstance(row, Update) else None
    value = fill_in(model, row.build_after() if isinstance(row, Update) else row.build())
    return {violation.rule for violation in find_violations(model, value, before)}


def test_every_rule_has_a_row_that_breaks_it() -> None:
    rows = [row for row in BAD if not row.server] + list(UPDATES)
    every = set().union(*(rules_of(model) for model in KINDS.values()))
    missing = every.difference(*(broken_by(row) for row in rows))
    # There is one objective so far: it cannot change.
    assert {rule.expression for rule in missing} == {"self.objective == oldSelf.objective"}


@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.name)
def test_updates_are_taken_or_refused(row: Update) -> None:
    problems = validate_document(Document(row.build_after(), ""), old=row.build_before())
    if not row.path:
        assert problems == []
        return
    (problem,) = problems
    assert problem.path == row.path
    assert row.says in problem.message
