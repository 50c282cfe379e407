"""Installs the product the way a user does: Helm, a Secret, data in buckets."""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from trainwright_api import names
from trainwright_cli.proxies import is_loopback

from demo.errors import DemoError
from demo.place import Place, Store
from tests.cluster.binaries import HELM, ensure_binaries
from tools.machine import PROJECT

SYSTEM_NAMESPACE = "trainwright-system"
RELEASE = "trainwright"
SECRET = "s3"  # noqa: S105 - the Secret's name, which the examples use
BUCKETS = ("datasets", "models", "checkpoints")


@dataclass(frozen=True, slots=True)
class Images:
    """Both images below one registry, as NAME:TAG."""

    registry: str
    operator: str
    trainer: str

    def values(self) -> list[str]:
        """The chart's values for them, as `helm --set-string` takes them.

        A digest that an installed release pins would win over the tag.
        """
        values = [f"registry={self.registry}"]
        for prefix, image in (("image", self.operator), ("trainer.image", self.trainer)):
            repository, _, tag = image.rpartition(":")
            values += [f"{prefix}.repository={repository}", f"{prefix}.tag={tag}"]
            values.append(f"{prefix}.digest=")
        return values


def install_chart(place: Place, images: Images, *more_values: str) -> str:
    """Install or upgrade the chart and wait until the operator is ready; Helm's notes.

    An upgrade keeps the release's own values. More values are `NAME=JSON`: a fraction is a number in
    JSON only. Raises DemoError with Helm's words.
    """
    helm = str(ensure_binaries(HELM) / "helm")
    command = [helm, "upgrade", "--install", RELEASE, str(PROJECT / "helm" / "trainwright")]
    command += [
        "--namespace",
        SYSTEM_NAMESPACE,
        "--create-namespace",
        "--reset-then-reuse-values",
        "--wait",
        "--timeout",
        "180s",
    ]
    if place.context:
        command += ["--kube-context", place.context]
    for value in images.values():
        command += ["--set-string", value]
    for value in more_values:
        command += ["--set-json", value]
    done = subprocess.run(
        command,
        env={**os.environ, **place.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"helm: {done.stderr.strip()}")
    return done.stdout


def ensure_namespace(place: Place) -> None:
    """Create the runs' namespace unless it is there."""
    if not place.kubectl("get", "namespace", place.namespace, "--ignore-not-found", "-o", "name"):
        place.kubectl("create", "namespace", place.namespace)


def apply_secret(place: Place) -> None:
    """The Secret with the store's address and keys, as the examples name it."""
    store = place.store
    entries = {
        names.SECRET_ACCESS_KEY_ID: store.access_key,
        names.SECRET_SECRET_ACCESS_KEY: store.secret_key,
        names.SECRET_SESSION_TOKEN: store.session_token,
        names.SECRET_ENDPOINT_URL: store.endpoint_of_pods,
        names.SECRET_REGION: store.region,
    }
    place.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            # Not stringData: of what was there once, `apply` takes away only what stood in `data`.
            "data": {
                key: base64.b64encode(value.encode()).decode()
                for key, value in entries.items()
                if value
            },
        }
    )


def upload_folder(store: Store, folder: Path) -> int:
    """Bring a folder's subfolders into the buckets of their names; the number of files.

    With one bucket for all, the subfolders become prefixes in it. Raises DemoError.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with _connect(store) as client:
        for bucket in [store.bucket] if store.bucket else BUCKETS:
            _ensure_bucket(client, bucket, store.region)
        for file in files:
            bucket, _, key = file.relative_to(folder).as_posix().partition("/")
            if store.bucket:
                bucket, key = store.bucket, f"{bucket}/{key}"
            client.upload_file(str(file), bucket, key)
    return len(files)


def delete_checkpoints(store: Store, namespace: str, name: str) -> None:
    """Delete what an earlier run of this name has saved, so that the next one starts from nothing."""
    bucket, prefix = find_checkpoints(store, namespace, name)
    with _connect(store) as client:
        for key in _list_keys(client, bucket, prefix):
            client.delete_object(Bucket=bucket, Key=key)


def has_checkpoints(store: Store, namespace: str, name: str) -> bool:
    """Whether the store holds anything that `delete_checkpoints` would delete."""
    with _connect(store) as client:
        try:
            return any(True for _ in _list_keys(client, *find_checkpoints(store, namespace, name)))
        except client.exceptions.NoSuchBucket:
            return False


def find_checkpoints(store: Store, namespace: str, name: str) -> tuple[str, str]:
    """The bucket, and the prefix in it, where a run of the demo saves."""
    bucket, prefix = BUCKETS[-1], f"{namespace}/{name}/"
    return (store.bucket, f"{bucket}/{prefix}") if store.bucket else (bucket, prefix)


def _list_keys(client: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield item["Key"]


@contextmanager
def _connect(store: Store) -> Iterator[Any]:
    """A client of the store; its errors become ours."""
    try:
        yield boto3.client(
            "s3",
            endpoint_url=store.endpoint or None,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            aws_session_token=store.session_token or None,
            region_name=store.region,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # None: those of the environment, which have another loopback than this machine.
                proxies={} if is_loopback(store.endpoint) else None,
            ),
        )
    except (BotoCoreError, ClientError) as problem:
        # Names of buckets are everybody's there, so the usual ones are somebody's.
        hint = "" if store.endpoint or store.bucket else "; S3_BUCKET names one of yours for all"
        raise DemoError(f"S3 store {store.endpoint or 'AWS'}: {problem}{hint}") from problem


def _ensure_bucket(client: Any, bucket: str, region: str) -> None:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as problem:
        if problem.response["Error"]["Code"] != "404":
            raise DemoError(
                f"S3 bucket {bucket}: {problem}; S3_BUCKET names one of yours"
            ) from problem
        # The region of S3 that is the default must not be named.
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=bucket, **({} if region == "us-east-1" else place))
