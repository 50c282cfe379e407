"""One demo at a time on a cluster: a second one would delete the runs of the first, and follow its own for them.

A lock of the file system, which goes with its holder; the demo without a cluster has the locks of its runs.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from demo.errors import DemoError
from tests.cluster import ClusterSpec
from tools.machine import cache_folder


@contextmanager
def alone_on(cluster_name: str) -> Iterator[None]:
    """Keep the demo's cluster of this name for this process; raises DemoError while another one has it."""
    ClusterSpec(cluster_name)  # refuses what is no name before it becomes a path
    lock = cache_folder() / "locks" / f"demo-on-{cluster_name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise DemoError(
                f"another `make demo` trains on the cluster {cluster_name!r}; wait for its end, or say "
                "DEMO_CLUSTER=NAME for a cluster beside it"
            ) from problem
        yield
