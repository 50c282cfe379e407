"""How often something may happen to one run that its pods cause, for which nobody vouches."""

import time
from dataclasses import dataclass, field

EVENT_BURST = 25  # as clients of Kubernetes allow about one object
EVENT_SECONDS = 10.0  # an event more; a run that is well posts one in minutes
NEWS_BURST = 10  # more than a run that is well has in its first seconds


@dataclass
class Budget:
    """What is left to one run (a token bucket): `burst` at once, then one in `refill_seconds`."""

    burst: int = EVENT_BURST
    refill_seconds: float = EVENT_SECONDS
    _spent: float = 0.0
    _filled_at: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        """Whether it may happen once more; if so, it is counted."""
        now = time.monotonic()
        refill = (
            (now - self._filled_at) / self.refill_seconds if self.refill_seconds else self.burst
        )
        self._spent = max(0.0, self._spent - refill)
        self._filled_at = now
        if self._spent > self.burst - 1:
            return False
        self._spent += 1
        return True
