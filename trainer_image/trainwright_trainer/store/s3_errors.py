"""What an error of S3 means for the user: which field, what was expected, what to do. Pure."""

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from trainwright_trainer.errors import StoreError, TrainerError
from trainwright_trainer.store.base import MissingFileError, Store, first_line

_NOT_FOUND = {"404", "NoSuchKey", "NotFound"}
_NO_BUCKET = {"NoSuchBucket"}
_WRONG_KEYS = {
    "InvalidAccessKeyId": "an access key that exists",
    "SignatureDoesNotMatch": "the secret key that belongs to the access key",
    "ExpiredToken": "a session token that has not expired",
    "ExpiredTokenException": "a session token that has not expired",
    "InvalidToken": "a session token that is valid",
    "InvalidClientTokenId": "an access key that exists",
}
_FORBIDDEN = {"403", "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem"}
_WRONG_REGION = {
    "301",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"}
_NO_LIST_OF_UPLOADS = {"NoSuchUpload", "NotImplemented", "MethodNotAllowed", "405", "501"}
_LOST_CONNECTION = (ConnectionError, HTTPClientError, IncompleteReadError, RetriesExceededError)


def is_missing(error: ClientError) -> bool:
    """Tell whether the server said that an object is not there."""
    return _code(error) in _NOT_FOUND


def cannot_list_uploads(error: ClientError) -> bool:
    """Tell whether the server does not list unfinished uploads (rclone: only while there are some)."""
    return _code(error) in _NO_LIST_OF_UPLOADS | _FORBIDDEN


def is_transient(error: Exception) -> bool:
    """Tell whether the same request may succeed in a while: lost connections, throttling, 5xx."""
    error = _innermost(error)
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (status >= 500 or status == 429) and _code(error) not in _FULL
    return isinstance(error, _LOST_CONNECTION)


def translate(
    error: Exception, store: Store, path: str, endpoint: str | None, bucket: str
) -> TrainerError:
    """Return the error to raise for one of boto3 on the file `path` of a store."""
    error = _innermost(error)
    if isinstance(error, ClientError):
        return _translate_answer(error, store, path, endpoint, bucket)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return store.user_error(
            "no credentials",
            "a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "name it here (outside a cluster, set these variables)",
            part="credentialsSecret",
        )
    if isinstance(error, ParamValidationError):
        return store.user_error(store.uri, "a valid name of a bucket", "correct the URI")
    if isinstance(error, ValueError):
        return store.user_error(
            str(endpoint), "a URL such as https://s3.example.com", "correct it", part="endpoint"
        )
    if isinstance(error, _LOST_CONNECTION):
        return StoreError(
            f"{store.field}.endpoint: got {endpoint or 'AWS'}, expected a server that answers "
            f"({first_line(error)}); check the URL, and that pods may reach it"
        )
    return StoreError(f"{store.field}.uri: {store.uri_of(path)} ({first_line(error)})")


def _translate_answer(
    error: ClientError, store: Store, path: str, endpoint: str | None, bucket: str
) -> TrainerError:
    code = _code(error)
    if code in _NO_BUCKET:
        return store.user_error(
            store.uri, "a bucket that exists", f"create {bucket} or name another"
        )
    if code in _NOT_FOUND:
        return MissingFileError(f"{store.field}.uri: {store.uri_of(path)} is not there")
    where = f"{store.uri} at {endpoint or 'AWS'}"
    if code in _WRONG_KEYS:
        return store.user_error(
            f"credentials that {where} refuses ({code})",
            _WRONG_KEYS[code],
            "correct the Secret that it names",
            part="credentialsSecret",
        )
    if code in _FORBIDDEN:
        return store.user_error(
            f"no permission for {error.operation_name} on {where}",
            "credentials that may list and read there, and where checkpoints or models go also write and delete",
            "grant it, or name another Secret",
            part="credentialsSecret",
        )
    if code in _WRONG_REGION:
        return store.user_error(
            f"an answer that {bucket} is elsewhere",
            "the region of the bucket",
            "set it",
            part="region",
        )
    if code in _FULL:
        return StoreError(
            f"{store.field}.uri: got {where}, expected free space; raise its quota or delete objects"
        )
    return StoreError(f"{store.field}.uri: {store.uri_of(path)} ({first_line(error)})")


def _innermost(error: Exception) -> Exception:
    """s3transfer wraps what happened and keeps only its text."""
    inner = error.__context__
    is_wrapped = isinstance(error, Boto3Error) and isinstance(inner, Exception)
    return _innermost(inner) if is_wrapped and inner is not None else error  # type: ignore[arg-type]


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
