"""Sets conditions as metav1 wants them: one per type, a transition time that moves only on a change."""

from collections.abc import Sequence
from datetime import datetime

from trainwright_api.names import Condition
from trainwright_api.status import ConditionStatus

from trainwright_operator.facts import format_time

_STATUS = {True: "True", False: "False", None: "Unknown"}


def find_condition(
    conditions: Sequence[ConditionStatus], type_: Condition
) -> ConditionStatus | None:
    """Return the condition of a type."""
    return next((c for c in conditions if c.type == type_), None)


def set_condition(
    conditions: Sequence[ConditionStatus],
    type_: Condition,
    is_true: bool | None,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int | None,
) -> list[ConditionStatus]:
    """Return the conditions with one of them set (None: unknown); the order stays, a new one comes last."""
    status = _STATUS[is_true]
    old = find_condition(conditions, type_)
    changed_at = (
        old.last_transition_time if old is not None and old.status == status else format_time(now)
    )
    new = ConditionStatus(
        type=type_.value,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=changed_at,
        observed_generation=generation,
    )
    if old is None:
        return [*conditions, new]
    return [new if c.type == type_ else c for c in conditions]
