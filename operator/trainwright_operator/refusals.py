"""Says in a run's status what the API server, or our own models, do not take; pure."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from trainwright_api.names import Condition, Phase
from trainwright_api.status import ConditionStatus
from trainwright_api.validate import InvalidManifestError, parse_resource

from trainwright_operator.calls import ClusterCallError
from trainwright_operator.conditions import set_condition
from trainwright_operator.facts import Problem
from trainwright_operator.untrusted import clean_text

NAME_IN_USE = "NameInUse"
_PASSING = (0, 409, 429)  # not reached, written at the same time, too many calls: just try again
_NAME_FAILURES = 3  # a deleted run's job goes, and our own is seen, within these retries


def describe_refusal(
    error: ClusterCallError, *, num_failures: int, told: str | None = None
) -> Problem | None:
    """Return why an attempt's objects were not taken; None for what a retry will cure.

    `num_failures`: how many times in a row it has failed before. `told`: the reason that the run's
    status gives already.
    """
    is_known = told == NAME_IN_USE or num_failures >= _NAME_FAILURES
    if error.reason == "AlreadyExists" and is_known:
        text = f"{error.message}, and is not this run's; it starts once that is deleted"
        return Problem(NAME_IN_USE, clean_text(text))
    if error.status in _PASSING:
        return None
    if error.status == 404:
        return Problem(
            "MissingPyTorchJobKind",
            "the cluster has no PyTorchJob kind; install the Kubeflow training operator v1 and the "
            "run starts by itself",
        )
    if "exceeded quota" in error.message:
        return Problem("QuotaExceeded", f"{error.message}; raise the quota")
    return Problem("JobRefused", clean_text(f"the API server refused the attempt: {error.message}"))


def build_invalid_status(
    raw: dict[str, Any], error: ValidationError, now: datetime
) -> dict[str, Any]:
    """Return the status of a run that this operator cannot read, such as one of an older version."""
    old = raw.get("status", {})
    try:
        parse_resource(raw)
        message = str(error)
    except InvalidManifestError as invalid:
        message = str(invalid)
    message = clean_text(message.replace("\n", "; "))
    generation = raw["metadata"].get("generation")
    try:
        known = [ConditionStatus.model_validate(c) for c in old.get("conditions", ())]
    except ValidationError:
        known = []
    conditions = set_condition(
        known, Condition.ACCEPTED, False, "InvalidSpec", message, now=now, generation=generation
    )
    return {
        **old,
        "phase": old.get("phase", Phase.PENDING.value),
        "reason": "InvalidSpec",
        "message": message,
        "observedGeneration": generation,
        "conditions": [condition.to_manifest() for condition in conditions],
    }
