"""URIs of stores, taken apart. Pure."""

from dataclasses import dataclass
from urllib.parse import unquote

from trainwright_trainer.errors import UserError

SCHEMES = ("s3", "pvc", "file", "hf")


@dataclass(frozen=True, slots=True)
class Place:
    """A URI in parts.

    `container` is the bucket, the claim or the repository (`org/name`, with `datasets/` before it
    for a data set); empty for file://. `path` has no slash at its ends, except that of file:// is
    absolute. `revision` is that of hf://org/name@revision.
    """

    scheme: str
    container: str
    path: str
    revision: str | None = None


def parse_uri(uri: str, field: str) -> Place:
    """Return the parts of a URI. Raises UserError that names `<field>.uri` if it is none of ours."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in SCHEMES:
        raise UserError(
            f"{field}.uri: got {uri}, expected s3://bucket/path, pvc://claim/path, file:///path or "
            "hf://organization/name; write one of these"
        )
    if ".." in rest.split("/"):
        raise UserError(f"{field}.uri: got {uri}, expected a path without ..; write it out")
    if scheme == "file":
        return _parse_file(uri, rest, field)
    if scheme == "hf":
        return _parse_hub(uri, rest, field)
    container, _, path = rest.partition("/")
    if not container:
        what = "bucket" if scheme == "s3" else "claim"
        raise UserError(f"{field}.uri: got {uri}, expected {scheme}://{what}/path; name the {what}")
    return Place(scheme, container, path.strip("/"))


def _parse_file(uri: str, rest: str, field: str) -> Place:
    if not rest.startswith("/"):
        raise UserError(
            f"{field}.uri: got {uri}, expected an absolute path; write file:///path with three slashes"
        )
    return Place("file", "", "/" + unquote(rest).strip("/"))


def _parse_hub(uri: str, rest: str, field: str) -> Place:
    parts = rest.strip("/").split("/")
    is_dataset = parts[0] == "datasets"
    owner_and_name = parts[1:3] if is_dataset else parts[:2]
    if len(owner_and_name) < 2 or not all(owner_and_name):
        raise UserError(
            f"{field}.uri: got {uri}, expected hf://organization/name or "
            "hf://datasets/organization/name, with @revision and /path if wanted; name both"
        )
    name, _, revision = owner_and_name[1].partition("@")
    container = f"{owner_and_name[0]}/{name}"
    path = "/".join(parts[3:] if is_dataset else parts[2:])
    return Place("hf", f"datasets/{container}" if is_dataset else container, path, revision or None)
