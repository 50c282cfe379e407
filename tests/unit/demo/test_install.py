"""What the demo puts into a store and into its Secret."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.install import apply_secret, has_checkpoints, upload_folder
from demo.place import Place, Store
from tests.unit.played_server import Asked, Server, serving, set_dead_proxy

NOTHING_LISTED = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A store without buckets, but for `taken`, which is another's; the proxy does not reach it."""

    def answer(asked: Asked) -> tuple[int, bytes]:
        if asked.method == "HEAD":
            return (403 if asked.path.startswith("/taken") else 404), b""
        return 200, NOTHING_LISTED if asked.method == "GET" else b""

    set_dead_proxy(monkeypatch)
    with serving(answer) as server:
        yield server


def a_store(server: Server, region: str = "us-east-1", bucket: str = "ours") -> Store:
    return Store(server.url, "http://inside:9000", "key", "secret", region, bucket)


def test_a_store_on_loopback_is_asked_without_proxy(server: Server) -> None:
    assert not has_checkpoints(a_store(server), "team", "gpt")
    (asked,) = server.asked
    assert asked.path.startswith("/ours?list-type=2&prefix=checkpoints%2Fteam%2Fgpt%2F")
    assert "x-amz-security-token" not in asked.headers


def test_keys_for_a_while_come_with_their_token(server: Server) -> None:
    has_checkpoints(replace(a_store(server), session_token="for-an-hour"), "team", "gpt")
    assert server.asked[0].headers["x-amz-security-token"] == "for-an-hour"


@pytest.mark.parametrize(
    ("region", "constraint"),
    [
        ("us-east-1", b""),
        ("eu-west-1", b"<LocationConstraint>eu-west-1</LocationConstraint>"),
    ],
)
def test_a_bucket_is_made_in_the_region_of_the_settings(
    server: Server, tmp_path: Path, region: str, constraint: bytes
) -> None:
    assert upload_folder(a_store(server, region), tmp_path) == 0
    head, put = server.asked
    assert (head.method, put.method, put.path) == ("HEAD", "PUT", "/ours")
    assert constraint in put.body
    assert bool(put.body) is bool(constraint)
    assert f"/{region}/s3/" in put.headers["authorization"]


def test_a_bucket_of_somebody_else_is_named_and_not_made(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"^S3 bucket taken: .*403.*; S3_BUCKET names one of yours"):
        upload_folder(a_store(server, bucket="taken"), tmp_path)
    assert [asked.method for asked in server.asked] == ["HEAD"]


@pytest.mark.parametrize("token", ["", "for-an-hour"])
def test_the_secret_of_the_pods_has_all_that_the_store_wants(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    def kubectl(_place: Place, *_arguments: str, stdin: str) -> str:
        applied.append(json.loads(stdin))
        return ""

    applied: list[dict[str, list[dict[str, dict[str, str]]]]] = []
    monkeypatch.setattr(Place, "kubectl", kubectl)
    store = Store("http://here:9000", "http://inside:9000", "key", "secret", "eu-west-1", "", token)
    apply_secret(Place("played", "team", store))
    (secret,) = applied[0]["items"]
    content = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert content == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://inside:9000",
        "AWS_REGION": "eu-west-1",
        **({"AWS_SESSION_TOKEN": token} if token else {}),
    }
