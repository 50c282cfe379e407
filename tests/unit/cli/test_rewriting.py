"""Rewriting locations to folders of this machine."""

from pathlib import Path

import click
import pytest
from trainwright_cli.rewriting import parse_rewrites, rewrite_locations, rewrite_uri


def test_the_longest_prefix_wins(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "chat").mkdir()
    rewrites = parse_rewrites(
        [f"s3://datasets/={tmp_path}/data", f"s3://datasets/chat/={tmp_path}/chat/"]
    )
    assert rewrite_uri("s3://datasets/a/b.txt", rewrites) == f"file://{tmp_path}/data/a/b.txt"
    assert rewrite_uri("s3://datasets/chat/x", rewrites) == f"file://{tmp_path}/chat/x"
    assert rewrite_uri("s3://other/x", rewrites) == "s3://other/x"


def test_a_whole_uri_may_become_one_file(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    rewrites = parse_rewrites([f"s3://d/train.jsonl={tmp_path}/train.jsonl"])
    assert rewrite_uri("s3://d/train.jsonl", rewrites) == f"file://{tmp_path}/train.jsonl"


def test_a_prefix_without_slash_keeps_the_parts_of_the_uri_apart(tmp_path: Path) -> None:
    rewrites = parse_rewrites([f"s3://d={tmp_path}"])
    assert rewrite_uri("s3://d/x/", rewrites) == f"file://{tmp_path}/x/"
    assert rewrite_uri("s3://d", rewrites) == f"file://{tmp_path}"
    assert rewrite_uri("s3://d-old/x/", rewrites) == "s3://d-old/x/"


def test_another_uri_may_be_given_instead_of_a_folder() -> None:
    (rewrite,) = parse_rewrites(["s3://prod/=s3://test/"])
    assert rewrite_uri("s3://prod/x", [rewrite]) == "s3://test/x"


def test_a_rewritten_location_loses_how_the_store_was_reached(tmp_path: Path) -> None:
    rewrites = parse_rewrites([f"s3://d/={tmp_path}"])
    access = {"endpoint": "http://s3", "region": "r", "credentialsSecret": "s"}
    value = {"sources": [{"uri": "s3://d/x", "weight": 2, **access}, {"uri": "s3://e/", **access}]}
    assert rewrite_locations(value, rewrites) == {
        "sources": [
            {"uri": f"file://{tmp_path}/x", "weight": 2},
            {"uri": "s3://e/", **access},
        ]
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://d/", "expected PREFIX=FOLDER"),
        ("./data=s3://d/", "expected PREFIX=FOLDER"),
        ("s3://d/=", "expected PREFIX=FOLDER"),
        ("s3://d/=/absent", "/absent is not there"),
    ],
)
def test_rewrites_that_make_no_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        parse_rewrites([text])


def test_a_prefix_and_a_folder_may_hold_equals_signs(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    (rewrite,) = parse_rewrites([f"s3://d/day=1/={tmp_path}/day=1/"])
    assert rewrite_uri("s3://d/day=1/x", [rewrite]) == f"file://{tmp_path}/day%3D1/x"
