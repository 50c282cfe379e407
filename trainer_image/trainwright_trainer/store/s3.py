"""A store in a bucket of S3 or of anything that speaks its protocol.

botocore retries single requests within about a second and s3transfer moves large files in parts;
longer outages are ridden out here, and errors are translated in `s3_errors`. Payloads are signed,
so the server refuses a part that did not arrive as it was sent.
"""

import functools
import time
from collections.abc import Callable, Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from trainwright_api.data import Location

from trainwright_trainer.errors import StoreError
from trainwright_trainer.store.base import FileInfo, Store, is_inside
from trainwright_trainer.store.credentials import Credentials
from trainwright_trainer.store.places import Place
from trainwright_trainer.store.s3_errors import (
    cannot_list_uploads,
    is_missing,
    is_transient,
    translate,
)
from trainwright_trainer.store.s3_stream import ObjectStream

ResultT = TypeVar("ResultT")

MEBIBYTE = 2**20
OUTAGE_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
DEFAULT_REGION = "us-east-1"
AWS_DOMAIN = "amazonaws.com"
STREAM_BUFFER_BYTES = MEBIBYTE
DELETE_BATCH = 1000  # objects that one request deletes at most
NOT_THE_SAME = 412  # HTTP status: the object is no longer that of IfMatch
TRANSFER = TransferConfig(
    multipart_threshold=16 * MEBIBYTE,
    multipart_chunksize=16 * MEBIBYTE,
    max_concurrency=4,
)


class S3Store(Store):
    """Objects below a prefix of a bucket, or the one object that the prefix is."""

    def __init__(
        self, location: Location, field: str, place: Place, credentials: Credentials
    ) -> None:
        super().__init__(location.uri, field)
        self._bucket = place.container
        self._root = place.path
        self._is_folder = location.uri.endswith("/") or not place.path
        self._endpoint = location.endpoint or credentials.endpoint
        self._client = self._call("", lambda: self._build_client(location, credentials))

    def list_files(self, prefix: str = "") -> list[FileInfo]:
        """See Store."""
        return self._call(prefix, lambda: self._list(prefix))

    def read_bytes(self, path: str = "") -> bytes:
        """See Store."""
        with self.open(path) as stream:
            return stream.read()

    def open(self, path: str = "") -> BinaryIO:
        """See Store."""
        where = {"Bucket": self._bucket, "Key": self._key(path)}
        whole = self._call(path, lambda: self._client.get_object(**where))
        # Else an object that is overwritten meanwhile would be read as a splice of both.
        tag = whole.get("ETag", "")
        same = (
            {"IfMatch": tag} if tag and not tag.startswith("W/") else {}
        )  # a weak one never matches

        def fetch(start: int) -> Any:
            arguments = {**where, **same, "Range": f"bytes={start}-"}
            return self._call(path, lambda: self._reopen(path, arguments))

        stream = ObjectStream(whole["Body"], fetch, whole["ContentLength"], self.uri_of(path))
        return cast(BinaryIO, BufferedReader(stream, STREAM_BUFFER_BYTES))

    def write_bytes(self, path: str, content: bytes) -> None:
        """See Store."""
        key = self._key(path)
        self._call(
            path, lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
        )

    def download(self, path: str, local: Path) -> None:
        """See Store."""
        key = self._key(path)
        local.parent.mkdir(parents=True, exist_ok=True)
        self._call(
            path,
            lambda: self._client.download_file(self._bucket, key, str(local), Config=TRANSFER),
        )

    def upload(self, local: Path, path: str) -> None:
        """See Store."""
        key = self._key(path)
        self._call(
            path, lambda: self._client.upload_file(str(local), self._bucket, key, Config=TRANSFER)
        )

    def delete(self, paths: Iterable[str]) -> None:
        """See Store."""
        keys = [{"Key": self._key(path)} for path in paths]
        for start in range(0, len(keys), DELETE_BATCH):
            batch = keys[start : start + DELETE_BATCH]
            self._call("", lambda batch=batch: self._delete(batch))  # type: ignore[misc]

    def delete_unfinished(self, prefix: str = "") -> None:
        """See Store. Aborts multipart uploads that nobody will complete."""
        self._call(prefix, lambda: self._abort_uploads(prefix))

    def check_writable(self) -> None:
        """See Store."""
        probe = f".trainwright-probe-{uuid4().hex}"
        self.write_bytes(probe, b"trainwright")
        self.delete([probe])

    def _build_client(self, location: Location, credentials: Credentials) -> Any:
        """Build the client; servers that are not AWS get the bucket in the path, not in the host."""
        region = location.region or credentials.region or _session().region_name or DEFAULT_REGION
        arguments = {
            "endpoint_url": self._endpoint,  # None: AWS_ENDPOINT_URL of the environment, then AWS
            "region_name": region,
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.secret_access_key,
            "aws_session_token": credentials.session_token,
        }
        client = _session().client("s3", **arguments, config=_client_config("auto"))
        if AWS_DOMAIN in client.meta.endpoint_url:
            return client
        self._endpoint = client.meta.endpoint_url
        return _session().client("s3", **arguments, config=_client_config("path"))

    def _call(self, path: str, operation: Callable[[], ResultT]) -> ResultT:
        """Run a request, again while the server is away, and translate its errors."""
        for pause in (*OUTAGE_PAUSES_SECONDS, None):
            try:
                return operation()
            except (BotoCoreError, ClientError, Boto3Error, ValueError) as error:
                if pause is None or not is_transient(error):
                    raise translate(error, self, path, self._endpoint, self._bucket) from error
            _pause(pause)
        raise AssertionError("unreachable")

    def _reopen(self, path: str, arguments: dict[str, str]) -> Any:
        try:
            return self._client.get_object(**arguments)["Body"]
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != NOT_THE_SAME:
                raise
            raise StoreError(
                f"{self.field}.uri: got {self.uri_of(path)}, which was overwritten while it was read, expected "
                "a file that stays as it is; read it again once nothing writes it"
            ) from error

    def _list(self, prefix: str) -> list[FileInfo]:
        key = self._key(prefix)
        is_folder = prefix.endswith("/") or (not prefix and self._is_folder)
        found = [] if is_folder else self._list_object(key, prefix)
        folder = self._folder_key(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=folder
        )
        for page in pages:
            found += [self._info(e) for e in page.get("Contents", []) if e["Key"][-1] != "/"]
        return sorted(filter(lambda info: is_inside(info.path), found), key=lambda info: info.path)

    def _list_object(self, key: str, path: str) -> list[FileInfo]:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return []  # a folder, nothing at all, or no bucket: listing tells
            raise
        return [FileInfo(path, head["ContentLength"], head.get("ETag", "").strip('"'))]

    def _delete(self, keys: list[dict[str, str]]) -> None:
        answer = self._client.delete_objects(
            Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True}
        )
        for error in answer.get("Errors", []):
            raise ClientError({"Error": error}, "DeleteObjects")

    def _abort_uploads(self, prefix: str) -> None:
        for where in self._list_uploads(self._folder_key(prefix)):
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, **where)
            except ClientError as error:
                if not cannot_list_uploads(error):  # it may be gone meanwhile, or not ours to abort
                    raise

    def _list_uploads(self, folder: str) -> list[dict[str, str]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=folder
        )
        try:
            uploads = [entry for page in pages for entry in page.get("Uploads", [])]
        except ClientError as error:
            if cannot_list_uploads(error):
                return []  # some servers have no such list, and some users no right to see it
            raise
        return [{name: upload[name] for name in ("Key", "UploadId")} for upload in uploads]

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}".strip("/") if path else self._root

    def _folder_key(self, path: str) -> str:
        """What the keys of all files below a folder begin with, and no other's."""
        key = self._key(path)
        return f"{key}/" if key else ""

    def _info(self, entry: dict[str, Any]) -> FileInfo:
        path = entry["Key"][len(self._root) :].lstrip("/")
        return FileInfo(path, entry["Size"], entry.get("ETag", "").strip('"'))


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _client_config(addressing_style: str) -> Config:
    return Config(
        retries={"mode": "standard", "max_attempts": 6},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=16,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": True, "addressing_style": addressing_style},
    )


@functools.cache
def _session() -> Any:
    """One session for all stores: reading the service's description takes half a second."""
    return boto3.session.Session()
