"""A read-only store in a repository of the Hugging Face hub: hf://organization/name[@revision][/path].

Data sets are hf://datasets/organization/name. Files are downloaded whole into a cache on scratch
when they are first read; huggingface_hub retries and resumes what may pass.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from trainwright_api.data import Location

from trainwright_trainer.errors import (
    StoreError,
    TrainerError,
    UserError,
    is_out_of_space,
)
from trainwright_trainer.scratch import full_scratch_error
from trainwright_trainer.store.base import FileInfo, MissingFileError, Store, first_line
from trainwright_trainer.store.credentials import Credentials
from trainwright_trainer.store.places import Place

DATASET_PREFIX = "datasets/"


class HubStore(Store):
    """Files below a path of a repository, or the one file that the path is."""

    def __init__(
        self,
        location: Location,
        field: str,
        place: Place,
        credentials: Credentials,
        cache_folder: Path,
    ) -> None:
        super().__init__(location.uri, field)
        self._repository = place.container.removeprefix(DATASET_PREFIX)
        self._type = "dataset" if place.container.startswith(DATASET_PREFIX) else "model"
        self._root = place.path
        self._revision = place.revision
        self._token = credentials.hub_token
        self._endpoint = location.endpoint  # a Secret's is that of an S3 server
        self._cache_folder = cache_folder
        self._api = HfApi(endpoint=self._endpoint, token=self._token)

    def list_files(self, prefix: str = "") -> list[FileInfo]:
        """See Store."""
        wanted = self._name(prefix).rstrip("/")
        with self._translated(prefix):
            entries = self._api.list_repo_tree(
                self._repository, recursive=True, revision=self._revision, repo_type=self._type
            )
            files = [entry for entry in entries if isinstance(entry, RepoFile)]
        return sorted(
            (
                FileInfo(file.path[len(self._root) :].lstrip("/"), file.size, file.blob_id)
                for file in files
                if not wanted or file.path == wanted or file.path.startswith(f"{wanted}/")
            ),
            key=lambda info: info.path,
        )

    def read_bytes(self, path: str = "") -> bytes:
        """See Store."""
        return self._fetch(path).read_bytes()

    def open(self, path: str = "") -> BinaryIO:
        """See Store."""
        return self._fetch(path).open("rb")

    def download(self, path: str, local: Path) -> None:
        """See Store."""
        local.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._fetch(path), local)

    def write_bytes(self, path: str, content: bytes) -> None:
        """Raise UserError: nothing is written to the hub."""
        raise self._read_only()

    def upload(self, local: Path, path: str) -> None:
        """Raise UserError: nothing is written to the hub."""
        raise self._read_only()

    def delete(self, paths: Iterable[str]) -> None:
        """Raise UserError: nothing is written to the hub."""
        raise self._read_only()

    def delete_unfinished(self, prefix: str = "") -> None:
        """Raise UserError: nothing is written to the hub."""
        raise self._read_only()

    def check_writable(self) -> None:
        """Raise UserError: nothing is written to the hub."""
        raise self._read_only()

    def _name(self, path: str) -> str:
        return f"{self._root}/{path}".strip("/") if path else self._root

    def _fetch(self, path: str) -> Path:
        with self._translated(path):
            return Path(
                hf_hub_download(
                    self._repository,
                    self._name(path),
                    repo_type=self._type,
                    revision=self._revision,
                    cache_dir=self._cache_folder,
                    token=self._token,
                    endpoint=self._endpoint,
                )
            )

    def _read_only(self) -> UserError:
        return self.user_error(
            self.uri, "a store that can be written", "use s3:// or pvc://; hf:// is only read"
        )

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (HTTPError, EntryNotFoundError, OSError, HFValidationError) as error:
            raise self._translate(error, path) from error

    def _translate(self, error: Exception, path: str) -> TrainerError:
        if is_out_of_space(error):  # of the cache on scratch, not of the hub
            return full_scratch_error(self._cache_folder)
        if isinstance(error, GatedRepoError):
            return self.user_error(
                f"{self.uri}, which is gated",
                "a token with access",
                "accept its terms on the hub and name a Secret with HF_TOKEN",
                part="credentialsSecret",
            )
        if isinstance(error, RevisionNotFoundError):
            return self.user_error(
                self.uri, "a revision that exists", "name a branch, tag or commit after @"
            )
        if isinstance(error, RepositoryNotFoundError | HFValidationError):
            return self.user_error(
                self.uri,
                "a repository that exists and is public",
                "correct the name; for a private one name a Secret with HF_TOKEN as credentialsSecret",
            )
        if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError) or not isinstance(
            error, HfHubHTTPError | EntryNotFoundError
        ):
            return StoreError(
                f"{self.field}.uri: got {self.uri}, expected the hub to be reachable "
                f"({first_line(error)}); copy the files to s3:// or pvc:// where pods have no way out"
            )
        if isinstance(error, EntryNotFoundError):
            return MissingFileError(f"{self.field}.uri: {self.uri_of(path)} is not there")
        return StoreError(f"{self.field}.uri: {self.uri_of(path)} ({first_line(error)})")
