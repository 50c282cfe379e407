import os
from pathlib import Path

import pytest

from tools import tiers
from tools.tiers import Lane, Result, Tier, format_results, run_tier, run_tiers

PASSING = Tier("good", ("-c", ""))
FAILING = Tier("bad", ("-c", "import sys; sys.exit(3)"))
CLUSTERED = Tier("clustered", ("-c", ""), needs_cluster=True)


def test_exit_code_of_the_command_is_the_verdict() -> None:
    assert run_tier(PASSING).verdict == "passed"
    failed = run_tier(FAILING)
    assert (failed.verdict, failed.note) == ("FAILED", "exit code 3")


def test_what_tests_write_can_be_read_by_pods_whatever_the_persons_umask() -> None:
    before = os.umask(0o077)
    try:
        assert run_tier(Tier("mask", ("-c", "import os; assert os.umask(0) == 0o022"))).note == ""
    finally:
        os.umask(before)


def test_a_tier_without_tests_has_failed() -> None:
    assert run_tier(Tier("none", ("-c", "import sys; sys.exit(5)"))).note == "no test ran"


@pytest.mark.parametrize(("ci", "verdict"), [("", "skipped"), ("true", "FAILED")])
def test_a_tier_without_its_cluster_is_skipped_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, verdict: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(tiers, "find_cluster_obstacle", lambda: "it needs root")
    assert run_tier(CLUSTERED) == Result("clustered", verdict, 0, "no cluster: it needs root")
    assert run_tier(PASSING).verdict == "passed"


def test_table_names_every_tier_and_all_that_failed() -> None:
    table = format_results(
        [Result("unit", "passed", 3.21), Result("e2e", "FAILED", 60, "exit code 1")], 63.2
    )
    assert table.splitlines() == [
        "unit       passed       3.2 s",
        "e2e        FAILED      60.0 s  exit code 1",
        "all        FAILED: e2e    63.2 s",
    ]


def test_a_skipped_tier_stands_in_the_verdict() -> None:
    table = format_results([Result("unit", "passed", 1), Result("e2e", "skipped", 0, "no root")], 1)
    assert table.splitlines()[-1].split() == ["all", "passed", "(skipped:", "e2e)", "1.0", "s"]


def test_a_tier_in_the_background_runs_beside_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each waits for what the other leaves: one after another, they would wait for ever."""
    wait = "import os, time\nwhile not os.path.exists(r'{}'): time.sleep(0.01)"
    make = "open(r'{}', 'w').close()"
    begun, seen = tmp_path / "begun", tmp_path / "seen"
    computes = "\n".join((make.format(begun), wait.format(seen)))
    waits = "\n".join((wait.format(begun), make.format(seen)))
    results = run_tiers(
        [Tier("computes", ("-c", computes), lane=Lane.SPARE), Tier("waits", ("-c", waits))]
    )
    assert [(result.name, result.verdict) for result in results] == [
        ("computes", "passed"),
        ("waits", "passed"),
    ]
    shown = capfd.readouterr().out
    assert shown.index("--- waits") < shown.index("--- computes\n")


def test_what_fails_in_the_background_fails_the_run() -> None:
    failing = Tier("bad", ("-c", "import sys; sys.exit(3)"), lane=Lane.SPARE)
    assert [result.verdict for result in run_tiers([PASSING, failing])] == ["passed", "FAILED"]


def test_what_is_no_text_in_the_background_is_shown_as_such(
    capfd: pytest.CaptureFixture[str],
) -> None:
    garbage = Tier("odd", ("-c", r"import os; os.write(1, b'odd \xff\n')"), lane=Lane.SPARE)
    assert [result.verdict for result in run_tiers([PASSING, garbage])] == ["passed"] * 2
    assert "odd \N{REPLACEMENT CHARACTER}\n" in capfd.readouterr().out


def test_a_lane_alone_passes_its_output_through(capfd: pytest.CaptureFixture[str]) -> None:
    said = [
        Tier(name, ("-c", f"print('{name} speaks')"), Lane.BESIDE) for name in ("one", "another")
    ]
    assert [result.note for result in run_tiers(said)] == ["", ""]
    assert "in the background" not in capfd.readouterr().out


def test_unknown_tier_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiers.main(["units"]) == 2
    assert "got units, expected one of check, unit," in capsys.readouterr().err


def test_ctrl_c_waits_for_the_tier_that_runs_and_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The tier tells Ctrl+C to its parent, as the terminal would, and takes half a second to end."""
    taken_down = tmp_path / "taken down"
    text = (
        "import os, signal, sys, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(0.5)\n"
        f"open({str(taken_down)!r}, 'w').close()\nsys.exit(2)"
    )
    monkeypatch.setattr(tiers, "TIERS", (Tier("runs", ("-c", text)), Tier("next", ("-c", ""))))
    assert tiers.main([]) == 130
    assert taken_down.exists()
    rows = [line.split()[:2] for line in capfd.readouterr().out.splitlines()[-3:]]
    assert rows == [["runs", "stopped"], ["next", "not"], ["all", "stopped"]]
