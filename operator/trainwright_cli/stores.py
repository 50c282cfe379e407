"""Reading checkpoints and configs where they lie, with the user's own credentials.

S3 credentials come from the AWS client's own chain (environment, profile, identity), never from a
cluster's Secrets. Read only; used by `checkpoints`, `plan`, `report`, `compare`, `watch` and `logs --tensorboard`.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from trainwright_api.names import UNFINISHED_PREFIX

from trainwright_cli.errors import CliError, NotFoundError, UnreachableError
from trainwright_cli.proxies import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


class Folder(ABC):
    """A folder of files; paths are relative to it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") + "/"

    @abstractmethod
    def list_sizes(self) -> Mapping[str, int]:
        """Return the size of every file below the folder (unit: bytes)."""

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open a file for reading. Raises NotFoundError."""

    def read_bytes(self, path: str) -> bytes:
        """Return a file's content. Raises NotFoundError."""
        with self.open(path) as stream:
            return stream.read()


def can_be_opened(uri: str) -> bool:
    """Whether `open_folder` knows this kind of URI; a pvc:// one can only be read in the cluster."""
    scheme, separator, _ = uri.partition("://")
    return not separator or scheme in ("s3", "file")


def open_folder(uri: str, *, endpoint: str | None = None, region: str | None = None) -> Folder:
    """Return the folder at an s3:// or file:// URI, or a local path. Raises CliError for other URIs.

    URIs are read as the trainer reads them, so `#` and `?` are characters of a name like others.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return LocalFolder(uri, Path(uri))
    if scheme == "s3":
        return S3Folder(uri, endpoint, region)
    if scheme == "file" and rest.startswith("/"):
        return LocalFolder(uri, Path(unquote(rest)))
    if scheme == "file":
        raise CliError(
            f"got {uri}, expected an absolute path; write file:///path with three slashes"
        )
    raise CliError(
        f"got {uri}, expected s3:// or file://; other stores can only be read in the cluster"
    )


class LocalFolder(Folder):
    """A folder of this machine."""

    def __init__(self, uri: str, root: Path) -> None:
        super().__init__(uri)
        self._root = root

    def list_sizes(self) -> Mapping[str, int]:
        """See Folder. What a trainer still writes, or has deleted since it was found, is left out."""
        sizes = {}
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    if not path.name.startswith(UNFINISHED_PREFIX) and path.is_file():
                        sizes[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return sizes

    def open(self, path: str) -> BinaryIO:
        """See Folder."""
        try:
            return (self._root / path).open("rb")
        except OSError as error:
            raise NotFoundError(f"{self.uri}{path}: {error.strerror}") from error


class S3Folder(Folder):
    """A prefix of an S3 bucket."""

    def __init__(self, uri: str, endpoint: str | None, region: str | None) -> None:
        super().__init__(uri)
        bucket, _, path = self.uri.removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, path.lstrip("/")
        try:
            with _translated(self.uri):
                self._client = _create_client(endpoint, region)
        except ValueError as error:
            raise CliError(
                f"{uri}: {error}; give an --endpoint such as https://minio.example"
            ) from error

    def list_sizes(self) -> Mapping[str, int]:
        """See Folder."""
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(self.uri):
            return {
                item["Key"].removeprefix(self._prefix): item["Size"]
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                for item in page.get("Contents", [])
            }

    def open(self, path: str) -> BinaryIO:
        """See Folder."""
        with _translated(f"{self.uri}{path}"):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
        return io.BufferedReader(_Body(answer["Body"], f"{self.uri}{path}"))


def _create_client(endpoint: str | None, region: str | None) -> Any:
    """Return an S3 client with the user's own credentials, and region and endpoint where none is given."""
    from boto3.session import Session
    from botocore.config import Config

    session = Session()
    # A region is needed to sign, whatever it is, where an endpoint is given.
    region = region or session.region_name or ("us-east-1" if endpoint else None)
    settings = Config(
        connect_timeout=4,
        read_timeout=30,
        retries={"total_max_attempts": 2},
        # Look-alikes of S3 do not send checksums; the manifest's are checked instead.
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
    )
    client = session.client("s3", endpoint_url=endpoint, region_name=region, config=settings)
    if not is_loopback(client.meta.endpoint_url):  # AWS_ENDPOINT_URL, too, may have named it
        return client
    direct = settings.merge(Config(proxies={}))
    return session.client("s3", endpoint_url=endpoint, region_name=region, config=direct)


class _Body(io.RawIOBase):
    """The content of an object while it comes; a connection that breaks then is told like any other error."""

    def __init__(self, body: Any, uri: str) -> None:
        self._body, self._uri = body, uri

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        with _translated(self._uri):
            content: bytes = self._body.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """See io.RawIOBase."""
        self._body.close()
        super().close()


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn the AWS client's errors into the CLI's."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        details: dict[str, Any] = error.response.get("Error", {})
        if details.get("Code") in ("NoSuchKey", "NoSuchBucket", "404"):
            raise NotFoundError(f"{uri}: not there; check the URI and --endpoint") from error
        raise CliError(
            f"{uri}: {details.get('Code')} {details.get('Message', '')}; check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        ) from error
    except BotoCoreError as error:
        text = " ".join(str(error).split())
        raise UnreachableError(
            f"{uri}: {text}; check --endpoint and your AWS credentials"
        ) from error
