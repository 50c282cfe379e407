"""Runs as tables, pages and lines."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console, RenderableType
from trainwright_api.names import Phase
from trainwright_api.status import Progress
from trainwright_cli.cluster import Cluster
from trainwright_cli.live import LiveRow, PlainDisplay, live_view, plain_line
from trainwright_cli.runs import RunView, parse_run
from trainwright_cli.tables import progress_line, run_page, run_row, runs_table

from tests.unit.cli.manifests import a_training_run, invoke

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
PROGRESS = {
    "step": 50,
    "totalSteps": 98,
    "percent": 51.0,
    "loss": 4.21,
    "validationLoss": 4.5,
    "tokensPerSecond": 1234.5,
    "etaSeconds": 62,
}


def a_view(**status: Any) -> RunView:
    manifest = a_training_run()
    manifest["metadata"] |= {"namespace": "team", "creationTimestamp": "2026-01-02T02:55:00Z"}
    return parse_run(manifest | {"status": {"phase": "Running", "progress": PROGRESS} | status})


def rendered(what: RenderableType, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(what)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text)


def test_a_row_has_the_columns_of_kubectl_get() -> None:
    row = run_row(a_view(), NOW, all_namespaces=True)
    assert row == [
        "team",
        "TrainingRun/stdlib-gpt",
        "Running",
        "50/98",
        "4.2100",
        "1,234",
        "-",
        "1m02s",
        "5m00s",
    ]


def test_the_page_has_what_the_devices_do_and_what_it_costs() -> None:
    devices = "2x H100 61% 70.0/80GiB 1000W worst rank 1 31%"
    hardware = {"device": "H100", "accelerators": 2, "summary": devices}
    page = rendered(run_page(a_view(hardware=hardware, cost={"summary": "$12.00 of $36.00"}), NOW))
    assert devices in page
    assert "$12.00 of $36.00" in page


def test_a_plain_line_has_what_the_devices_do() -> None:
    row = LiveRow("TrainingRun/a", Phase.RUNNING, Progress(step=1), hardware="2x H100 61%")
    assert plain_line(row).endswith("2x H100 61%")


def test_what_is_not_known_is_a_dash() -> None:
    row = run_row(a_view(progress={}), NOW, all_namespaces=False)
    assert row[1:7] == ["Running", "-", "-", "-", "-", "-"]


def test_an_ended_run_has_no_eta() -> None:
    assert run_row(a_view(phase="Succeeded"), NOW, all_namespaces=False)[6] == "-"


def test_the_table_has_a_line_for_each_run() -> None:
    text = rendered(runs_table([a_view(), a_view()], NOW, all_namespaces=False))
    assert text.splitlines()[0].split()[:3] == ["RUN", "PHASE", "STEP"]
    assert text.count("TrainingRun/stdlib-gpt") == 2


def test_a_page_leads_to_the_dashboard() -> None:
    url = "https://grafana.example/d/trainwright-run?var-namespace=team&var-run=gpt"
    assert url in rendered(run_page(a_view(dashboardUrl=url), NOW))
    assert "Dashboard" not in rendered(run_page(a_view(), NOW))


def test_a_page_has_what_the_trainer_warned_of() -> None:
    page = rendered(run_page(a_view(warnings=["step 8: model.safetensors does not verify"]), NOW))
    assert "step 8: model.safetensors does not verify" in page
    assert "Warnings" not in rendered(run_page(a_view(), NOW))


def test_text_of_others_is_never_markup() -> None:
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "UserError",
        "message": "[red]not[/red] [link=http://x]markup",
        "lastTransitionTime": "2026",
    }
    text = rendered(run_page(a_view(conditions=[condition], message="[/] broken"), NOW))
    assert "[red]not[/red] [link=http://x]markup" in text
    assert "[/] broken" in text


def test_a_page_shows_attempts_checkpoints_and_samples() -> None:
    checkpoint = {
        "step": 50,
        "uri": "s3://c/step-000050/",
        "sizeBytes": 2**20,
        "savedAt": "2026-01-02T02:59:00+00:00",
        "verified": True,
    }
    attempt = {
        "number": 1,
        "job": "j",
        "startedAt": "2026",
        "outcome": "Failed",
        "cause": "OutOfMemory",
        "stepsLost": 7,
    }
    model = {
        "uri": "s3://c/model/",
        "samples": [{"prompt": "def", "before": "?!", "after": " f()"}],
    }
    text = rendered(
        run_page(
            a_view(
                checkpoints={"latest": checkpoint, "items": [checkpoint]},
                attempts=[attempt],
                model=model,
            ),
            NOW,
        )
    )
    for said in ("s3://c/step-000050/", "1.0 MiB", "1m00s ago", "OutOfMemory", "after:  ' f()'"):
        assert said in text


def test_a_progress_line_says_what_is_known() -> None:
    progress = Progress.model_validate(PROGRESS)
    assert progress_line("tr/x", "Running", progress) == (
        "tr/x  Running  step 50/98 (51 %)  loss 4.2100  validation 4.5000  1,234 tok/s  eta 1m02s"
    )
    assert progress_line("tr/x", "Starting", Progress(activity="build")) == "tr/x  Starting  build"


def test_bars_fit_eighty_columns() -> None:
    title = "FineTuneJob/a-very-long-name-of-a-run"
    row = LiveRow(title, Phase.RESTARTING, Progress.model_validate(PROGRESS), "waits for a node")
    lines = rendered(live_view([row]), width=80).splitlines()
    assert lines[0].split() == ["RUN", "PHASE", "PROGRESS", "STEP", "LOSS", "TOK/S", "ETA"]
    for said in ("ftj/a-very-long-name-…", "Restarting", "50/98", "4.210", "1,234", "1m02s"):
        assert said in lines[1]
    assert lines[2] == "ftj/a-very-long-name-of-a-run: waits for a node"


def test_plain_lines_come_at_changes_only() -> None:
    lines: list[str] = []
    display = PlainDisplay(lines.append)
    for step in (1, 2, 3):
        display.show([LiveRow("tr/x", Phase.RUNNING, Progress(step=step, total_steps=9))])
    display.show([LiveRow("tr/x", Phase.SUCCEEDED, Progress(step=9, total_steps=9))])
    assert [line.partition("  ")[2] for line in lines] == [
        "tr/x  Running  step 1/9 (0 %)",
        "tr/x  Succeeded  step 9/9 (0 %)",
    ]


def test_a_run_that_makes_no_steps_says_so_in_place_of_the_time_left() -> None:
    stuck = {"activity": "train", "updatedAt": "2026-01-02T02:48:00Z"}
    view = a_view(progress=PROGRESS | stuck)
    assert run_row(view, NOW, all_namespaces=False)[6] == "no step"
    page = rendered(run_page(view, NOW))
    assert "1,234 tok/s  no step for 12m\n" in page
    assert "eta" not in page
    moves = a_view(progress=PROGRESS | stuck | {"updatedAt": "2026-01-02T02:59:00Z"})
    assert run_row(moves, NOW, all_namespaces=False)[6] == "1m02s"
    assert "1,234 tok/s  eta 1m02s" in rendered(run_page(moves, NOW))


def test_the_page_of_an_ended_run_has_no_time_left() -> None:
    assert "eta" not in rendered(run_page(a_view(phase="Failed"), NOW))


def test_long_names_go_on_below_and_no_number_is_cut() -> None:
    manifest = a_training_run("a-run-with-a-name-that-says-all-of-its-settings-at-once")
    manifest["metadata"] |= {"namespace": "machine-learning-platform-team"}
    view = parse_run(manifest | {"status": a_view().status.to_manifest()})
    text = rendered(runs_table([view], NOW, all_namespaces=True), width=80)
    assert "…" not in text
    for said in ("Running", "50/98", "4.2100", "1,234", "1m02s"):
        assert said in text.splitlines()[1]


def test_a_plain_line_is_one_line_and_says_what_stands_still() -> None:
    row = LiveRow(
        "TrainingRun/a", Phase.RUNNING, Progress(step=1), "a\n  b", stall="no step for 3m"
    )
    assert plain_line(row).endswith("TrainingRun/a  Running  no step for 3m  a b")


def test_bars_say_what_stands_still_and_for_how_long() -> None:
    progress = Progress(step=3, total_steps=9, eta_seconds=62)
    row = LiveRow("TrainingRun/a", Phase.RUNNING, progress, stall="no step for 3m")
    _, bar, note = rendered(live_view([row]), width=80).splitlines()
    assert bar.split()[-2:] == ["no", "step"]
    assert note.strip() == "tr/a: no step for 3m"
    assert "1m02s" in rendered(live_view([replace(row, stall="")]), width=80)


def test_runs_of_one_name_in_two_namespaces_have_lines_of_their_own() -> None:
    lines: list[str] = []
    display = PlainDisplay(lines.append)
    rows = [
        LiveRow("TrainingRun/a", phase, Progress(step=3), namespace=namespace)
        for namespace, phase in (("lab", Phase.RUNNING), ("team", Phase.PENDING))
    ]
    for _ in range(3):
        display.show(rows)
    assert [line.partition("  ")[2] for line in lines] == [
        "lab/TrainingRun/a  Running",
        "team/TrainingRun/a  Pending",
    ]


def test_a_run_that_stands_still_has_a_line_when_it_begins_and_when_it_ends() -> None:
    lines: list[str] = []
    display = PlainDisplay(lines.append)
    for stall in ("", "no step for 2m", "no step for 3m", ""):
        display.show([LiveRow("tr/x", Phase.RUNNING, Progress(step=3), stall=stall)])
    assert [line.partition("  ")[2] for line in lines] == [
        "tr/x  Running",
        "tr/x  Running  no step for 2m",
        "tr/x  Running",
    ]


def test_a_change_is_one_line_however_long_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    view = a_view(phase="Succeeded")
    view = replace(view, namespace="n" * 63, name="g" * 63)
    monkeypatch.setattr(
        Cluster, "connect", lambda target: SimpleNamespace(fetch_run=lambda wanted: view)
    )
    lines = invoke("status", "gpt", "-w").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"TrainingRun/{'g' * 63}  Succeeded")


def test_no_runs_say_where_there_may_be_some(monkeypatch: pytest.MonkeyPatch) -> None:
    none = SimpleNamespace(fetch_runs=lambda all_namespaces: [])
    monkeypatch.setattr(Cluster, "connect", lambda target: none)
    assert invoke("status").stderr == "no runs here; see `trainwright status -A`\n"
    assert invoke("status", "-A").stderr == "no runs in any namespace\n"
