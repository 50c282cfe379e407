import re
from datetime import UTC, datetime

from trainwright_api.history import HistoryRow
from trainwright_api.resources import FineTuneJob, TrainingRun
from trainwright_cli.report.differences import build_differences
from trainwright_cli.report.measured import Software, build_plan_rows
from trainwright_cli.report.page import RunRecord, build_comparison, build_page, tell_apart

from tests.terminals.runs import PLAN
from tests.unit.cli.manifests import a_fine_tune_job

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


def test_a_run_that_does_not_train_any_more_shows_the_speed_that_it_had() -> None:
    progress = {"step": 100, "totalSteps": 200}
    failed = record("a", phase="Failed", progress=progress)
    assert failed.status.progress is not None
    assert failed.status.progress.tokens_per_second == 900
    runs = record("b", progress=progress | {"tokensPerSecond": 5})
    assert runs.status.progress is not None
    assert runs.status.progress.tokens_per_second == 5
    rows = dict(build_comparison([failed, runs]))
    assert rows["Tokens per second"] == ["900", "5"]


def test_a_run_that_has_not_started_still_gets_a_page() -> None:
    empty = record("a")
    page = build_page([RunRecord(empty.resource, [], "")], now=NOW, version="1")
    assert "No step has been measured yet, or" in page
    assert "No plan yet." in page


def test_what_differs_between_specs_is_told_by_path() -> None:
    specs = [
        {"seed": 1, "data": {"sources": [{"uri": "a"}]}, "same": 2},
        {"seed": 7, "data": {"sources": [{"uri": "a"}, {"uri": "b"}]}, "same": 2},
    ]
    assert build_differences(specs) == [
        ("spec.data.sources[1].uri", ["-", "b"]),
        ("spec.seed", ["1", "7"]),
    ]
    assert build_differences([specs[0]]) == []


def test_device_hours_and_cost_are_those_of_all_attempts_and_of_the_rest() -> None:
    attempts = [
        {"number": 1, "job": "a-1", "startedAt": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T01:00:00Z"},
        {"number": 2, "job": "a-2", "startedAt": "2026-01-01T02:00:00Z"},
    ]  # fmt: skip
    progress = {"etaSeconds": 3600, "tokensPerSecond": 1e6, "mfu": 0.5, "step": 3}
    one = record("a", attempts=attempts, progress=progress, plan=PLAN)
    now = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
    software = Software({}, price_per_device_hour=2.0)
    rows = {label: values for label, *values in build_plan_rows(one.status, software, now)}
    assert rows["Device-hours"] == ["10.00 (projected)", "6.00"]
    assert rows["Cost"] == ["20.00 USD (projected)", "12.00 USD"]
    assert rows["Throughput"] == [
        "0.084 GFLOP per token",
        "1,000,000 tokens/s = 84 TFLOP/s by the plan, MFU 50.0%",
    ]
    assert "Cost" not in {row[0] for row in build_plan_rows(one.status, Software({}), now)}


def test_the_operators_account_is_the_cost_without_a_price_of_ones_own() -> None:
    cost = {
        "heldSeconds": 7200,
        "soFarUSD": 12.5,
        "projectedUSD": 50,
        "summary": "$12.50 of $50.00",
    }
    one = record("a", plan=PLAN, cost=cost)
    rows = {label: values for label, *values in build_plan_rows(one.status, Software({}), NOW)}
    assert rows["Cost"] == ["50.00 USD (projected)", "12.50 USD"]
    assert rows["Device-hours"][1] == f"{2 * one.status.plan.num_devices:.2f}"  # type: ignore[union-attr]
    priced = build_plan_rows(one.status, Software({}, price_per_device_hour=0), NOW)
    assert ("Cost", "0.00 USD (projected)", "0.00 USD") in priced
    assert ("Cost", ["$12.50 of $50.00", "-"]) in build_comparison([one, record("b")])


def test_names_of_plans_and_measures_are_escaped() -> None:
    terms = [{"name": "<b>x", "giB": 1.0, "reason": "r"}]
    one = record("a", plan=PLAN | {"memory": terms}, hardware={"device": "<i>", "accelerators": 1})
    page = build_page([one], now=NOW, version="1")
    assert "<b>x" not in page
    assert "<i>" not in page.replace("<i style", "")


def test_runs_of_both_kinds_with_one_name_are_told_apart() -> None:
    manifest = a_fine_tune_job("a")
    manifest["metadata"]["namespace"] = "team"
    job = RunRecord(FineTuneJob.model_validate(manifest), [], "")
    both = tell_apart([record("a"), job])
    assert [one.name for one in both] == ["team/TrainingRun/a", "team/FineTuneJob/a"]
    page = build_page(both, now=NOW, version="1")
    assert page.count("<th>team/TrainingRun/a</th>") == page.count("<th>team/FineTuneJob/a</th>")
    others = tell_apart([record("a"), record("b"), record("a")])
    assert [one.name for one in others] == ["team/a", "team/b", "team/a"]
