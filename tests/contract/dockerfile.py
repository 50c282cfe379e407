"""Reads a Dockerfile as a list of stages, as far as the contract tests need it."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One FROM and the instructions below it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.instructions if name == instruction]

    def copied(self) -> list[str]:
        """What comes from the build context."""
        texts = [text for text in self.all("COPY") if not text.startswith("--from")]
        return [source for text in texts for source in shlex.split(text)[:-1]]


def parse_dockerfile(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """The global arguments with their defaults, and the stages."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in _logical_lines(path.read_text()):
        name, _, text = line.partition(" ")
        if name == "FROM":
            base, _, alias = text.partition(" AS ")
            stages.append(Stage(base, alias))
        elif stages:
            stages[-1].instructions.append((name, text))
        elif name == "ARG":
            key, _, default = text.partition("=")
            arguments[key] = default
    return arguments, stages


def _logical_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]
