"""The page of a report in a real browser: nothing loaded, nothing wrong, everything legible."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.history import HistoryRow
from trainwright_api.resources import TrainingRun
from trainwright_cli.output import to_yaml
from trainwright_cli.report.measured import Software
from trainwright_cli.report.page import RunRecord, build_page

from tests.browser.browser import Browser, find_browser, open_browser
from tests.terminals.runs import a_status, an_attempt
from tests.unit.cli.manifests import a_training_run
from tools.machine import is_ci

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
WIDTHS = (1280, 400)
SMALLEST_TEXT_PIXELS = 9
_CHARTS = "[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().toJSON())"
_TEXTS = """[...document.querySelectorAll('svg text')].map(text =>
  ({text: text.textContent, height: text.getBoundingClientRect().height}))"""
# Pairs of texts of one chart that cover each other.
_OVERLAPS = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([b, q]) =>
    p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3
  ).map(([b]) => a + ' / ' + b));
})"""
# Texts that stick out of their chart, where they are cut.
_CUT = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(t => {
    const r = t.getBoundingClientRect();
    return r.left < box.left - 1 || r.right > box.right + 1 || r.bottom > box.bottom + 2;
  }).map(t => t.textContent);
})"""
_OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


def a_record(name: str, wave: float = 0.0, **spec: Any) -> RunRecord:
    """A run with everything that a page can show."""
    manifest = a_training_run(name, **spec)
    manifest["metadata"]["namespace"] = "team"
    attempts = [an_attempt(number) for number in range(1, 9)]
    attempts.append(an_attempt(9, endedAt=None, outcome=None, cause=None, message=None))
    samples = [{"prompt": "def f(x):", "before": "?! ?!" * 30, "after": " return x" * 40}]
    model = {"uri": "s3://checkpoints/team/gpt/model/", "samples": samples}
    status = a_status(attempts=attempts, attempt=9, model=model)
    status["hardware"] |= {"memoryUsedGiB": 9.5, "memoryTotalGiB": 79.6, "powerWatts": 2400.0}
    resource = TrainingRun.model_validate(manifest | {"status": status})
    history = [
        HistoryRow(
            step=step, time=1e9 + 3 * step, loss=3 + 6 * math.exp(-step / 90) + wave,
            validation_loss=4.0 if step % 50 == 0 else None, learning_rate=1e-3 * step / 400,
            gradient_norm=1.5, tokens_per_second=123456 + 500 * math.sin(step), mfu=0.41,
        )
        for step in range(1, 401)
    ]  # fmt: skip
    software = Software({"torch": "2.13.0", "deepspeed": "0.19.5"}, price_per_device_hour=2.5)
    return RunRecord(resource, history, to_yaml(manifest), manifest["spec"], software)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        missing = "no browser here; Debian: apt-get install chromium-headless-shell"
        pytest.fail(missing) if is_ci() else pytest.skip(missing)
    with open_browser(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report, a comparison, and the page of a run that has not started."""
    one, other = a_record("gpt"), a_record("gpt-wide", wave=0.3, seed=7)
    empty = TrainingRun.model_validate(a_training_run("new"))
    records = {"report": [one], "comparison": [one, other], "new": [RunRecord(empty, [], "")]}
    folder = tmp_path_factory.mktemp("pages")
    for name, chosen in records.items():
        (folder / f"{name}.html").write_text(build_page(chosen, now=NOW, version="1"))
    return {name: folder / f"{name}.html" for name in records}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "num_charts"), [("report", 9), ("comparison", 11), ("new", 0)])
def test_a_page_is_whole_and_legible(
    browser: Browser, pages: dict[str, Path], name: str, num_charts: int, width: int
) -> None:
    browser.load(pages[name], width)
    assert browser.messages == []
    assert browser.requests == [pages[name].as_uri()]
    assert browser.evaluate(_OVERFLOW) <= 0
    charts = browser.evaluate(_CHARTS)
    assert len(charts) == num_charts
    assert all(chart["width"] > 300 and chart["height"] > 50 for chart in charts)
    assert [t for t in browser.evaluate(_TEXTS) if t["height"] < SMALLEST_TEXT_PIXELS] == []
    assert browser.evaluate(_OVERLAPS) == []
    assert browser.evaluate(_CUT) == []


def test_a_page_needs_no_script(browser: Browser, pages: dict[str, Path]) -> None:
    browser.load(pages["report"], 1280, with_scripts=False)
    assert browser.evaluate("document.scripts.length") == 0
    without = browser.evaluate("document.body.innerText")
    browser.load(pages["report"], 1280)
    assert browser.evaluate("document.body.innerText") == without
    for said in (
        "Device-hours",
        "Cost",
        "USD",
        "TFLOP/s by the plan, MFU 41.2%",
        "deepspeed",
        "0.19.5",
    ):
        assert said in without


def test_a_browser_tells_of_what_a_page_does_wrong(browser: Browser, tmp_path: Path) -> None:
    """The checks above can fail: a page that loads and throws is found out."""
    page = tmp_path / "bad.html"
    page.write_text("<img src='file:///nowhere.png'><script>nonsense()</script>")
    browser.load(page, 400)
    assert "file:///nowhere.png" in browser.requests
    assert any("nonsense" in message for message in browser.messages)
