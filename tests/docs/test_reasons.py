"""The page about reasons has all that the operator may say, and nothing else."""

import ast
import re
from collections.abc import Iterator

from trainwright_api import names

from tests.docs.pages import PROJECT

PAGE = PROJECT / "operator" / "docs" / "reasons.md"
OPERATOR = PROJECT / "operator" / "trainwright_operator"
# Which argument of a call is a reason.
CALLS = {"Problem": 0, "fail": 1, "set": 2, "set_phase": 1, "tell": 1, "tell_once": 1, "Notice": 1}
OUTCOMES = {"Succeeded", "Failed", "Suspended", "Deadline"}
CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]+)+")


def find_reasons() -> set[str]:
    """Every reason that stands as a text in the operator's code, or under a name."""
    trees = {path.name: ast.parse(path.read_text()) for path in OPERATOR.glob("*.py")}
    known = dict(each for tree in trees.values() for each in find_constants(tree))
    arguments = [each for tree in trees.values() for each in find_arguments(tree)]
    # The reasons of a low utilisation stand beside their explanations.
    arguments += [
        node.elts[0] for node in ast.walk(trees["utilization.py"]) if isinstance(node, ast.Tuple)
    ]
    found = {read_text(argument, known) for argument in arguments}
    return {text for text in found if CAMEL_CASE.fullmatch(text)}


def find_constants(tree: ast.Module) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            targets = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(target, ast.Tuple) else [node.value]
            for name, value in zip(targets, values, strict=True):
                if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                    yield name.id, value.value


def find_arguments(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = getattr(called, "attr", getattr(called, "id", ""))
            position = CALLS.get(name)
            if position is not None and len(node.args) > position:
                yield node.args[position]


def read_text(node: ast.expr, known: dict[str, object]) -> str:
    """The text of a literal or of a constant; nothing for what is only known at run time."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return str(known.get(name, getattr(names, name, "")))


def test_the_page_has_every_reason_phase_condition_and_cause_and_no_other() -> None:
    said = {*find_reasons(), *names.Phase, *names.Condition, *names.Cause, *OUTCOMES}
    on_page = {
        word for word in re.findall(r"`(\w+)`", PAGE.read_text()) if CAMEL_CASE.fullmatch(word)
    }
    assert on_page == said


def test_reasons_are_found_in_calls_and_under_names() -> None:
    assert {"QuotaExceeded", "NameInUse", "WaitingForRun", "DataWait"} <= find_reasons()
