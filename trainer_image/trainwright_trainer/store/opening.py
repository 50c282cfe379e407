"""Which store serves a location; the only place that knows all of them."""

from pathlib import Path

from trainwright_api.data import Location

from trainwright_trainer.settings import Settings
from trainwright_trainer.store.base import Store
from trainwright_trainer.store.credentials import read_credentials
from trainwright_trainer.store.folder import FolderStore
from trainwright_trainer.store.places import parse_uri


def open_store(location: Location, settings: Settings, *, field: str) -> Store:
    """Return the store of a location; nothing is contacted yet.

    `field` is the path of the location in the spec, such as `spec.data.sources[0]`. Raises
    UserError if the URI, the endpoint or the claim cannot be right.
    """
    place = parse_uri(location.uri, field)
    if place.scheme == "file":
        return FolderStore(location.uri, field, Path(place.path))
    if place.scheme == "pvc":
        return _open_claim(location, place.container, place.path, settings, field)
    credentials = read_credentials(location, settings.credentials_folder)
    if place.scheme == "hf":
        from trainwright_trainer.store.hub import HubStore

        cache_folder = settings.scratch_folder / "hub"
        return HubStore(location, field, place, credentials, cache_folder)
    from trainwright_trainer.store.s3 import S3Store

    return S3Store(location, field, place, credentials)


def _open_claim(location: Location, claim: str, path: str, settings: Settings, field: str) -> Store:
    mount = settings.volumes_folder / claim
    store = FolderStore(location.uri, field, mount / path)
    if not mount.is_dir():
        raise store.user_error(
            location.uri,
            f"the claim {claim} mounted at {mount}",
            "name a PersistentVolumeClaim of the run's namespace (outside a cluster, use file://)",
        )
    return store
