"""URIs of a manifest turned into folders of this machine: `--rewrite s3://datasets/=./data/`. Pure but
for the look whether a folder is there.

A rewritten location loses endpoint, region and Secret: they belong to the store it no longer is in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_ACCESS_KEYS = ("endpoint", "region", "credentialsSecret")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """URIs that start with `prefix` start with `replacement` instead; the longest prefix wins."""

    prefix: str
    replacement: str


def parse_rewrites(texts: Sequence[str]) -> tuple[Rewrite, ...]:
    """Return the rewrites of PREFIX=FOLDER texts, longest prefix first. Raises click.UsageError."""
    rewrites = [_parse(text) for text in texts]
    return tuple(sorted(rewrites, key=lambda rewrite: len(rewrite.prefix), reverse=True))


def rewrite_uri(uri: str, rewrites: Sequence[Rewrite]) -> str:
    """Return the URI, rewritten by the first that matches."""
    for rewrite in rewrites:
        rest = uri.removeprefix(rewrite.prefix)
        # A name is not the beginning of another: s3://data is no part of s3://data-old.
        is_whole = rewrite.prefix.endswith("/") or rest[:1] in ("", "/")
        if uri.startswith(rewrite.prefix) and is_whole:
            return rewrite.replacement + rest
    return uri


def rewrite_locations(value: Any, rewrites: Sequence[Rewrite]) -> Any:
    """Return a manifest (or part of one) with every location rewritten."""
    if isinstance(value, list):
        return [rewrite_locations(item, rewrites) for item in value]
    if not isinstance(value, Mapping):
        return value
    changed = {key: rewrite_locations(item, rewrites) for key, item in value.items()}
    uri = changed.get("uri")
    if isinstance(uri, str) and (new := rewrite_uri(uri, rewrites)) != uri:
        changed = {key: item for key, item in changed.items() if key not in _ACCESS_KEYS}
        changed["uri"] = new
    return changed


def inherit_access(value: Any, store: Mapping[str, Any]) -> Any:
    """Return a part of a manifest whose s3:// locations say themselves how they are reached.

    What they leave out is that of the checkpoint store; needed before that store becomes a folder.
    """
    if isinstance(value, list):
        return [inherit_access(item, store) for item in value]
    if not isinstance(value, Mapping):
        return value
    filled = {key: inherit_access(item, store) for key, item in value.items()}
    if str(filled.get("uri", "")).startswith("s3://"):
        filled = {key: store[key] for key in _ACCESS_KEYS if key in store} | filled
    return filled


def folder_uri(folder: Path) -> str:
    """Return a folder as a file:// URI that ends in a slash."""
    return folder.resolve().as_uri().rstrip("/") + "/"


def _split(text: str) -> tuple[str, str, str]:
    """Part PREFIX=FOLDER at the first `=` with a folder behind it: a prefix may have some, as .../day=1/."""
    places = [place for place, character in enumerate(text) if character == "="]
    parts = [(text[:place], "=", text[place + 1 :]) for place in places]
    there = (part for part in parts if "://" in part[2] or Path(part[2]).expanduser().exists())
    return next(there, text.partition("="))


def _parse(text: str) -> Rewrite:
    prefix, equals, target = _split(text)
    if not equals or "://" not in prefix or not target:
        raise click.UsageError(
            f"--rewrite: got {text}, expected PREFIX=FOLDER such as s3://datasets/=./data/"
        )
    if "://" in target:
        return Rewrite(prefix, target)
    path = Path(target).expanduser()
    if not path.exists():
        raise click.UsageError(f"--rewrite: {target} is not there; make it or name another folder")
    uri = folder_uri(path)
    return Rewrite(prefix, uri if path.is_dir() and prefix.endswith("/") else uri.rstrip("/"))
