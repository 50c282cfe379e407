import re
from datetime import UTC, datetime

from trainwright_api.history import HistoryRow
from trainwright_api.resources import TrainingRun
from trainwright_cli.report.page import RunRecord, build_page

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(name: str, **status: object) -> RunRecord:
    resource = TrainingRun.model_validate(
        {
            "metadata": {"name": name, "namespace": "team"},
            "spec": {
                "model": {"architecture": "llama"},
                "tokenizer": {"train": {}},
                "data": {"sources": [{"uri": "s3://d/", "format": "Text"}]},
                "budget": {"steps": 100},
                "checkpoints": {"store": {"uri": "s3://c/"}},
            },
            "status": {"phase": "Running", "attempt": 1} | status,
        }
    )
    history = [
        HistoryRow(step=step, time=1000.0 + step, loss=5 - step / 50, tokens_per_second=900.0)
        for step in range(1, 101)
    ]
    return RunRecord(resource, history, "kind: TrainingRun\n# </pre><script>alert(1)</script>\n")


def test_page_of_one_run_is_self_contained_and_escaped() -> None:
    page = build_page([record("a", message="x")], now=NOW, version="1")
    assert "<title>team/a - Trainwright</title>" in page
    assert "Loss by step" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="', page)


def test_comparison_overlays_curves_and_lists_both_runs() -> None:
    page = build_page([record("a"), record("b")], now=NOW, version="1")
    assert "team/a against team/b" in page
    assert page.count("<polyline") == 2 * 3
    assert page.count("<th>team/") == 2


def test_a_run_that_has_not_started_still_gets_a_page() -> None:
    empty = record("a")
    page = build_page([RunRecord(empty.resource, [], "")], now=NOW, version="1")
    assert "No step has been measured yet." in page
    assert "No plan yet." in page
