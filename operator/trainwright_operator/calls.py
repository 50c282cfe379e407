"""The calls of the API server that the operator makes, as the reconciler sees them.

`cluster.ClusterClient` makes them for real; tests of what a crash between two of them leaves behind
put a small cluster in memory in its place.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from trainwright_operator.decision import Notice
from trainwright_operator.facts import EventFacts

Raw = dict[str, Any]


class ClusterCallError(Exception):
    """A call failed; `status` is the HTTP code, 0 if the server was not reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ClusterCalls(Protocol):
    """All raise ClusterCallError. Deleting what does not exist is fine."""

    async def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        """Create a config map, or change the one of the same run; a ClusterCallError of 409 if it is another's."""

    async def create_job(self, namespace: str, job: Any) -> Raw:
        """Create a PyTorchJob and return it; a ClusterCallError of 409 if its name is in use."""

    async def delete_config_map(self, namespace: str, name: str, run_uid: str) -> None:
        """Delete a config map, if it is this run's."""

    async def delete_job(self, namespace: str, name: str) -> bool:
        """Delete a PyTorchJob and, in the background, its pods; return whether it is gone already."""

    async def delete_pod(
        self, namespace: str, name: str, grace_seconds: int | None, uid: str | None = None
    ) -> bool:
        """Delete a pod (None: with its own grace, 0: by force), with a uid only if it is this one.

        Return whether it is gone already.
        """

    async def delete_run(self, run: Raw) -> None:
        """Delete a run, if it is still this one."""

    async def suspend_run(self, run: Raw) -> None:
        """Set a run's spec.suspend, if it is still this one."""

    async def write_status(self, run: Raw, patch: Raw) -> Raw | None:
        """Merge a patch into a run's status and return the run; None if it is not as seen any more."""

    async def read_run(self, run: Raw) -> Raw | None:
        """Return a run as it is now; None if it is gone, whatever has its name since."""

    async def fetch_warnings(self, namespace: str, selector: str) -> list[EventFacts]:
        """Return the warnings that a field selector of events chooses, newest first."""

    async def post_event(self, run: Raw, notice: Notice, name: str, now: str) -> None:
        """Post an event about a run, once for each name."""
