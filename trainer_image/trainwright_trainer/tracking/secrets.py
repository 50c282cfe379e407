"""Keys of the Secrets that trackers name, mounted as files."""

from pathlib import Path


def has_secret(folder: Path, secret: str | None) -> bool:
    """Tell whether the Secret is mounted; outside a cluster none is, and libraries look in their own places."""
    return secret is not None and (folder / secret).is_dir()


def read_secret(folder: Path, secret: str | None, key: str) -> str | None:
    """Return the value of a key; None if the Secret is not mounted or has no such key."""
    if secret is None:
        return None
    try:
        return (folder / secret / key).read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
