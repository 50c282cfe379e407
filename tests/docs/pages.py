"""Reads the commands out of the documentation's pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PATTERNS = (
    *("*.md", "crds/*.md", "operator/docs/**/*.md", "trainer_image/*.md", "helm/*.md"),
    "tests/cluster/*.md",
)
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```ini\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command line, continued lines joined, as a page shows it."""

    page: str
    text: str


def find_pages() -> list[Path]:
    return sorted(page for pattern in PATTERNS for page in PROJECT.glob(pattern))


def read_commands() -> list[Command]:
    """Every command of every page, in order."""
    return [
        Command(str(page.relative_to(PROJECT)), text)
        for page in find_pages()
        for text in parse_commands(page.read_text())
    ]


def parse_commands(page: str) -> Iterator[str]:
    """The command lines of a page's `sh` blocks."""
    for block in _BLOCK.findall(page):
        joined = re.sub(r"\\\n\s*", "", block)
        for line in joined.splitlines():
            text = re.sub(r"\s+", " ", line).strip()
            if text and not text.startswith("#"):
                yield text


def read_secret_file() -> str:
    """The file with the store's keys, as the README shows it."""
    (text,) = _FILE.findall((PROJECT / "README.md").read_text())
    return str(text)
