"""Sets conditions as metav1 wants them: one per type, a transition time that moves only on a change."""

from collections.abc import Sequence
from datetime import datetime

from trainwright_api.names import Condition
from trainwright_api.status import ConditionStatus

from trainwright_operator.facts import format_time


def set_condition(
    conditions: Sequence[ConditionStatus],
    type_: Condition,
    is_true: bool,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int | None,
) -> list[ConditionStatus]:
    """Return the conditions with one of them set; the order stays, a new one comes last."""
    status = "True" if is_true else "False"
    old = next((c for c in conditions if c.type == type_), None)
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
