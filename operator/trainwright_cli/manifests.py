"""Reads manifests from files, folders and stdin; checks them with the API's own rules.

A folder gives its *.yaml, *.yml and *.json files. Documents of other API groups, such as the Secret
that lies beside a run, are left out, as they are none of ours to judge.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from trainwright_api import validate
from trainwright_api.names import GROUP
from trainwright_api.resources import KINDS, Resource
from trainwright_api.validate import Document, Problem, load_documents, validate_document

from trainwright_cli.errors import InvalidManifestError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and the file it is in."""

    source: str
    problem: Problem

    def __str__(self) -> str:
        line = f":{self.problem.line}" if self.problem.line else ""
        return f"{self.source}{line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Checked:
    """All that was read: our documents, how many were not ours, and what is wrong."""

    documents: tuple[Document, ...]
    num_skipped: int
    findings: tuple[Finding, ...]


def read_manifests(filenames: Sequence[str]) -> Checked:
    """Read and check everything. Raises click.UsageError for files that cannot be read."""
    documents: list[Document] = []
    findings: list[Finding] = []
    num_skipped = 0
    for source, text in _read_texts(filenames):
        try:
            loaded = load_documents(text, source)
        except validate.InvalidManifestError as error:
            findings += [Finding(source, problem) for problem in error.problems]
            continue
        ours = [document for document in loaded if _is_ours(document.manifest)]
        num_skipped += len(loaded) - len(ours)
        documents += ours
    for document in documents:
        findings += [Finding(document.source, found) for found in validate_document(document)]
    if not documents and not findings:
        findings.append(_nothing(filenames))
    return Checked(tuple(documents), num_skipped, tuple(findings))


def read_resources(filenames: Sequence[str]) -> list[Resource]:
    """Return the resources of the files. Raises InvalidManifestError with all that is wrong."""
    checked = read_manifests(filenames)
    if checked.findings:
        raise InvalidManifestError("\n       ".join(map(str, checked.findings)))
    return [parse_checked(document.manifest) for document in checked.documents]


def parse_checked(manifest: Mapping[str, Any]) -> Resource:
    """Return the resource of a manifest that was checked before (and perhaps rewritten since)."""
    return KINDS[manifest["kind"]].model_validate(manifest)


def _is_ours(manifest: Mapping[str, Any]) -> bool:
    """A document without apiVersion or kind is taken for ours, so that its problem is told."""
    version = manifest.get("apiVersion")
    return version is None or str(version).startswith(f"{GROUP}/") or "kind" not in manifest


def _nothing(filenames: Sequence[str]) -> Finding:
    expected = f"got no document of {GROUP}, expected a TrainingRun or FineTuneJob"
    return Finding(", ".join(filenames), Problem("", expected))


def _read_texts(filenames: Sequence[str]) -> list[tuple[str, str]]:
    texts = []
    for name in filenames:
        if name == STDIN:
            texts.append(("stdin", _read_stdin()))
            continue
        path = Path(name)
        files = (
            sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
        )
        if not files:
            raise click.UsageError(f"-f {name}: the folder has no {', '.join(SUFFIXES)} files")
        texts += [(str(file), _read_text(file)) for file in files]
    return texts


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(path), error) from error


def _read_stdin() -> str:
    try:
        # Not as the locale has it: what is UTF-8 in a file is UTF-8 in a pipe.
        return sys.stdin.buffer.read().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _unreadable(STDIN, error) from error


def _unreadable(name: str, error: Exception) -> click.UsageError:
    why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    return click.UsageError(f"-f {name}: {why}")
