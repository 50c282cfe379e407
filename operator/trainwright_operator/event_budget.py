"""How many events may be posted about one run: what they tell comes from pods that nobody vouches for."""

import time
from dataclasses import dataclass, field

BURST = 25  # as clients of Kubernetes allow about one object
REFILL_SECONDS = 10.0  # an event more; a run that is well posts one in minutes


@dataclass
class EventBudget:
    """The events that are left to one run (a token bucket)."""

    _left: float = BURST
    _filled_at: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        """Whether another event may be posted; if so, it is counted."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._filled_at) / REFILL_SECONDS)
        self._filled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
