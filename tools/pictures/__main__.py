"""The command: `python -m tools.pictures [--url URL ...]`.

Without arguments it draws the docs' pictures from the recorded answers. With `--url` it draws any
dashboards from a running Prometheus, such as the demo's. Exit code 1 if a picture is not as it should be.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from trainwright_dashboards.generate import CHART_FILES, DASHBOARDS

from tools.machine import PROJECT
from tools.pictures.answers import Answers, Span, fetch_answers, read_answers
from tools.pictures.draw import draw_dashboard
from tools.pictures.lines import format_time
from tools.prometheus_api import PrometheusApi

PICTURES = PROJECT / "operator" / "docs" / "dashboards"
RECORDED = PROJECT / "tests" / "monitoring" / "recorded"
VARIABLES = {"namespace": ".+", "run": ".+", "__rate_interval": "30s"}
"""What Grafana puts for the variables if everything is chosen and the scrape interval is short."""


def main() -> int:
    """Draw the pictures and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("--url", help="a Prometheus; default: the recorded answers")
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=10, help="length of time, default 10")
    parser.add_argument("--end", type=float, help="end of the time (Unix seconds), default now")
    parser.add_argument(
        "--variable", action="append", default=[], metavar="NAME=VALUE", help="such as run=a|b"
    )
    parser.add_argument("names", nargs="*", metavar="DASHBOARD", help="default: all four")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or DASHBOARDS:
        path = arguments.folder / f"{name}.png"
        recorded = RECORDED / f"{name}.json"
        answers = ask(name, arguments) if arguments.url else read_answers(recorded)
        draw_dashboard(load_dashboard(name), answers, describe(answers)).save(path)
        print(path)
    return 0


def load_dashboard(name: str) -> dict[str, Any]:
    """A dashboard's JSON as the chart ships it."""
    loaded: dict[str, Any] = json.loads(
        (PROJECT / CHART_FILES / "dashboards" / f"{name}.json").read_text()
    )
    return loaded


def ask(name: str, arguments: argparse.Namespace) -> Answers:
    """The answers of a running server to a dashboard's queries."""
    span = Span.before(arguments.end or time.time(), arguments.minutes)
    variables = VARIABLES | dict(entry.split("=", 1) for entry in arguments.variable)
    variables["__range"] = f"{round(span.end - span.start)}s"
    return fetch_answers(PrometheusApi(arguments.url), load_dashboard(name), span, variables)


def describe(answers: Answers) -> str:
    """The line below the title."""
    span = answers.span
    return f"Prometheus, {format_time(span.start)} to {format_time(span.end)} UTC, every {span.step:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
