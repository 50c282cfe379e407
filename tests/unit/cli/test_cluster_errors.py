"""What the API server's answers become: errors that pass, and errors that stay."""

import json

import pytest
from kubernetes.client.exceptions import ApiException
from trainwright_cli.cluster import _translated
from trainwright_cli.errors import (
    CliError,
    ExitCode,
    NotAllowedError,
    NotFoundError,
    UnreachableError,
)
from urllib3.exceptions import ConnectTimeoutError, ProtocolError


def translate(error: Exception) -> CliError:
    with pytest.raises(CliError) as raised, _translated("list runs", "there are none"):
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (400, CliError),
        (409, CliError),
        (429, UnreachableError),
        (500, UnreachableError),
        (502, UnreachableError),
        (503, UnreachableError),
        (504, UnreachableError),
        (0, UnreachableError),
    ],
)
def test_what_may_pass_is_told_from_what_stays(status: int, expected: type[CliError]) -> None:
    assert type(translate(ApiException(status, "Why"))) is expected


@pytest.mark.parametrize("error", [ProtocolError("reset"), ConnectTimeoutError("slow")])
def test_a_connection_that_fails_may_pass(error: Exception) -> None:
    assert type(translate(error)) is UnreachableError


def test_an_answer_of_a_server_in_trouble_is_one_line_with_its_own_words() -> None:
    error = ApiException(503, "Service Unavailable")
    error.body = json.dumps({"message": "etcd is\n  away"})
    assert translate(error).format_message() == (
        "could not list runs: etcd is away; the API server has trouble, try again later"
    )
    error.body = "<html>Bad Gateway</html>"
    assert "could not list runs: 503 Service Unavailable; " in translate(error).format_message()
    broken = ApiException(0, "SSLError\nUNEXPECTED_EOF")
    assert translate(broken).format_message().startswith("no answer from the cluster: SSLError UNE")


def test_credentials_that_have_expired_are_told_from_a_missing_right() -> None:
    expired, refused = (translate(ApiException(status, "Why")) for status in (401, 403))
    assert expired.format_message() == (
        "not allowed to list runs: the API server does not know you, or no more (401 Why); log in again as "
        "for kubectl, or use another --context"
    )
    assert "ask for the ClusterRole edit" in refused.format_message()
    nobody = ApiException(403, "Forbidden")
    nobody.body = json.dumps({"message": 'User "system:anonymous" cannot list runs'})
    assert "log in again" in translate(nobody).format_message()


def test_a_missing_right_still_ends_with_4() -> None:
    assert NotAllowedError("x").exit_code == ExitCode.UNREACHABLE
