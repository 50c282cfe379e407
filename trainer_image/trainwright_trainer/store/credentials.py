"""What a mounted Secret says about reaching a store.

The operator mounts the Secrets that a run names as files, one folder a Secret. Where a run has none
mounted (on a laptop, or with an identity of the cloud), the client's own chain is used.
"""

from dataclasses import dataclass, field
from pathlib import Path

from trainwright_api import names
from trainwright_api.data import Location

KEYS = {
    "access_key_id": names.SECRET_ACCESS_KEY_ID,
    "secret_access_key": names.SECRET_SECRET_ACCESS_KEY,
    "session_token": names.SECRET_SESSION_TOKEN,
    "endpoint": names.SECRET_ENDPOINT_URL,
    "region": names.SECRET_REGION,
    "hub_token": names.SECRET_HF_TOKEN,
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of a Secret; None where it has none. Secrets never show in a repr."""

    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    hub_token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    region: str | None = None


def read_credentials(location: Location, credentials_folder: Path) -> Credentials:
    """Return what the location's Secret holds; all None if it names none or none is mounted."""
    if not location.credentials_secret:
        return Credentials()
    folder = credentials_folder / location.credentials_secret
    return Credentials(**{name: _read_key(folder / key) for name, key in KEYS.items()})


def _read_key(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
