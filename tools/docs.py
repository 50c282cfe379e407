"""Puts example manifests and captured screens into their pages; `--check` only says which differ.

`python -m tools.docs [--check]`; `make generate` and `make check` call it. A page says
`<!-- example: PATH -->` and `<!-- end of example -->`, and gets the file in between; or
`<!-- screen: COLUMNSxLINES -->` and `<!-- end of screen -->` for `trainwright watch` at that size.
"""

import re
import sys
from pathlib import Path

from tests.terminals.picture import draw_screen
from tools.machine import PROJECT

PAGES = ("README.md", "operator/docs/cli.md")
_SCREEN = re.compile(
    r"(<!-- screen: (?P<columns>\d+)x(?P<lines>\d+) -->\n).*?(<!-- end of screen -->)", re.DOTALL
)
_EXAMPLE = re.compile(r"(<!-- example: (?P<path>\S+) -->\n).*?(<!-- end of example -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Exit code 1 if `--check` found a difference."""
    check = "--check" in arguments
    stale = False
    for name in PAGES:
        page = PROJECT / name
        text = page.read_text()
        wanted = fill_screens(fill_examples(text, PROJECT))
        if wanted == text:
            continue
        if check:
            print(f"{name}: not up to date; run `make generate`", file=sys.stderr)
            stale = True
        else:
            page.write_text(wanted)
            print(f"wrote {name}")
    return int(stale)


def fill_examples(text: str, root: Path) -> str:
    """The page with every example as it stands in its file."""

    def fill(match: re.Match[str]) -> str:
        manifest = (root / match["path"]).read_text()
        return f"{match[1]}```yaml\n{manifest}```\n{match[3]}"

    return _EXAMPLE.sub(fill, text)


def fill_screens(text: str) -> str:
    """The page with every screen as it is drawn now."""

    def fill(match: re.Match[str]) -> str:
        screen = draw_screen(int(match["columns"]), int(match["lines"]))
        return f"{match[1]}```text\n{screen}\n```\n{match[4]}"

    return _SCREEN.sub(fill, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
