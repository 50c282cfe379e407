"""Which pod's log is printed."""

import pytest
from trainwright_cli.cluster import PodView
from trainwright_cli.commands.logs import choose_pod
from trainwright_cli.errors import NotFoundError
from trainwright_cli.runs import RunView, parse_run

from tests.unit.cli.manifests import a_training_run

PODS = [
    PodView("gpt-1-master-0", 1, 0, "Failed"),
    PodView("gpt-1-worker-0", 1, 1, "Failed"),
    PodView("gpt-2-master-0", 2, 0, "Running"),
    PodView("gpt-2-worker-0", 2, 1, "Running"),
]


def a_view(per_node: int = 1) -> RunView:
    return parse_run(a_training_run(workers={"nodes": 2, "acceleratorsPerNode": per_node}))


@pytest.mark.parametrize(
    ("rank", "pod", "attempt", "per_node", "expected"),
    [
        (None, None, None, 1, "gpt-2-master-0"),
        (1, None, None, 1, "gpt-2-worker-0"),
        (7, None, None, 8, "gpt-2-master-0"),
        (8, None, None, 8, "gpt-2-worker-0"),
        (1, None, 1, 1, "gpt-1-worker-0"),
        (None, "gpt-1-master-0", None, 1, "gpt-1-master-0"),
    ],
)
def test_the_pod_is_that_of_the_rank_in_the_newest_attempt(
    rank: int | None, pod: str | None, attempt: int | None, per_node: int, expected: str
) -> None:
    assert choose_pod(a_view(per_node), PODS, rank, pod, attempt).name == expected


def test_a_pod_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"there are gpt-1-master-0 \(attempt 1\), "):
        choose_pod(a_view(), PODS, 99, None, None)
    with pytest.raises(NotFoundError, match="has no pods; see `trainwright status stdlib-gpt`"):
        choose_pod(a_view(), [], None, None, None)
