"""Runs as tables, pages and lines."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType
from trainwright_api.names import Phase
from trainwright_api.status import Progress
from trainwright_cli.live import LiveRow, PlainDisplay, live_view, plain_line
from trainwright_cli.runs import RunView, parse_run
from trainwright_cli.tables import progress_line, run_page, run_row, runs_table

from tests.unit.cli.manifests import a_training_run

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
