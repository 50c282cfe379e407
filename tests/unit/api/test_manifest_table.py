"""The table of manifests through the CLI's checks; tests/apiserver feeds it to a real API server."""

from pathlib import Path

import pytest
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


@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.name)
def test_updates_are_taken_or_refused(row: Update) -> None:
    problems = validate_document(Document(row.build_after(), ""), old=row.build_before())
    if not row.path:
        assert problems == []
        return
    (problem,) = problems
    assert problem.path == row.path
    assert row.says in problem.message
