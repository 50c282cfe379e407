"""The full screen on runs out of a file, as a process: `python -m tests.terminals.played FILE [NAME]`.

The file is JSON: `runs` (manifests with status), `details` by run (history, ranks, events, log), and
`problem`, which is raised instead of an answer. It is read anew at each poll; suspending a run writes
into it what the API server would.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainwright_api.history import HistoryRow
from trainwright_cli.cluster import EventView
from trainwright_cli.errors import UnreachableError
from trainwright_cli.output import a_console
from trainwright_cli.runs import RunView, parse_run
from trainwright_cli.settings import read_settings
from trainwright_cli.watching.glyphs import ASCII, UNICODE
from trainwright_cli.watching.session import watch_on_screen
from trainwright_cli.watching.snapshot import Detail, RankFigures
from trainwright_cli.watching.state import key_of

POLL_SECONDS = 0.2


class PlayedSource:
    """Answers with what is in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch_views(self) -> Sequence[RunView]:
        content = self._read()
        if content.get("problem"):
            raise UnreachableError(content["problem"])
        return [parse_run(manifest) for manifest in content["runs"]]

    def fetch_detail(self, view: RunView, previous: Detail | None) -> Detail:
        return build_detail(key_of(view), self._read().get("details", {}).get(view.name, {}))

    def apply_suspend(self, view: RunView, *, suspend: bool) -> None:
        content = self._read()
        for manifest in content["runs"]:
            if manifest["metadata"]["name"] == view.name:
                manifest["spec"]["suspend"] = suspend
        write_content(self._path, content)

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._path.read_text())
        return content


def build_detail(key: str, content: dict[str, Any]) -> Detail:
    """The details as the screen takes them."""
    events = [
        EventView(**event | {"seen_at": datetime.fromisoformat(event["seen_at"])})
        for event in content.get("events", [])
    ]
    return Detail(
        key=key,
        history=tuple(HistoryRow.model_validate(row) for row in content.get("history", [])),
        ranks=tuple(RankFigures(**rank) for rank in content.get("ranks", [])),
        events=tuple(events),
        log=tuple(content.get("log", [])),
        log_title=content.get("log_title", ""),
    )


def write_content(path: Path, content: dict[str, Any]) -> None:
    """Replace the file whole: it is read at any time."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content))
    draft.replace(path)


def main() -> None:
    source = PlayedSource(Path(sys.argv[1]))
    wanted = sys.argv[2] if len(sys.argv) > 2 else None
    opened = next((view for view in source.fetch_views() if view.name == wanted), None)
    glyphs = UNICODE if read_settings().has_unicode else ASCII
    watch_on_screen(source, a_console(), glyphs, "namespace team", opened, POLL_SECONDS)


if __name__ == "__main__":
    main()
