import json
from typing import Any

import pytest
from trainwright_api.names import Cause
from trainwright_operator.ends import judge_failure, judge_success
from trainwright_operator.facts import PodFacts

from tests.unit.operator.builders import pod


def words(cause: str | None, message: str, outcome: str = "Failed", **fields: object) -> str:
    return json.dumps({"outcome": outcome, "cause": cause, "message": message, **fields})


LOST = words("Infrastructure", "lost contact to another rank (Connection closed by peer)")

NO_PEER = words("Unknown", "DistStoreError: timed out after 1801 s, 1/2 clients joined")


def absent(index: int) -> PodFacts:
    message = "Insufficient nvidia.com/gpu"
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    return pod(index, phase="Pending", conditions=[condition], containerStatuses=[])


def init_failed(index: int, name: str, message: str, **fields: Any) -> PodFacts:
    ended = {"exitCode": 3, "reason": "Error", "message": message}
    waiting = {"waiting": {"reason": "PodInitializing"}}
    return pod(
        index,
        phase="Failed",
        initContainerStatuses=[{"name": name, "state": {"terminated": ended}}],
        containerStatuses=[{"name": "pytorch", "state": waiting}],
        **fields,
    )


CASES = {
    "user error": (
        [pod(0, exit_code=2, said=words("UserError", "spec.data: no", rank=0)), pod(1)],
        (Cause.USER_ERROR, "gpt-1-master-0", "spec.data: no", 2),
    ),
    "killed from outside, the peer fell after it": (
        [pod(0, exit_code=1, ended_at=61, said=LOST), pod(1, exit_code=137, ended_at=60)],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "SIGKILL", 137),
    ),
    "killed from outside, the peer's clock is ahead": (
        [pod(0, exit_code=1, ended_at=59, said=LOST), pod(1, exit_code=137, ended_at=60)],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "SIGKILL", 137),
    ),
    "a rank was killed in its pod": (
        [pod(0, exit_code=1, said=LOST), pod(1, exit_code=1, said=words("Infrastructure", "rank 1 was ended by SIGKILL", signal="SIGKILL", rank=1))],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "rank 1 was ended by SIGKILL", 1),
    ),
    "memory limit": (
        [pod(0, exit_code=1, said=LOST), pod(1, exit_code=137, reason="OOMKilled")],
        (Cause.OUT_OF_MEMORY, "gpt-1-worker-0", "raise workers.resources.memory", 137),
    ),
    "evicted": (
        [pod(0), pod(1, phase="Failed", pod_reason="Evicted", message="The node was low on memory")],
        (Cause.PREEMPTED, "gpt-1-worker-0", "low on memory", None),
    ),
    "deleted": (
        [pod(0), pod(1, is_gone=True)],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "on node node-1 was deleted or lost", None),
    ),
    "no last words": (
        [pod(0, exit_code=7), pod(1)],
        (Cause.UNKNOWN, "gpt-1-master-0", "exit code 7", 7),
    ),
    "asked to stop": (
        [pod(0, exit_code=143, said=words(None, "stopped on request", "Interrupted")), pod(1)],
        (Cause.PREEMPTED, "gpt-1-master-0", "stopped on request", 143),
    ),
    "a program that the image does not have": (
        [pod(0, exit_code=128, reason="StartError", said='exec: "trainwright": executable file not found in $PATH'), pod(1)],
        (Cause.USER_ERROR, "gpt-1-master-0", "executable file not found in $PATH; check workers.image", 128),
    ),
    "a container runtime that has trouble": (
        [pod(0, exit_code=128, reason="StartError", said="failed to create shim: \x1b[1mout of memory"), pod(1)],
        (Cause.UNKNOWN, "gpt-1-master-0", "failed to create shim:  [1mout of memory", 128),
    ),
    "a node that refuses the pod": (
        [pod(0), pod(1, phase="Failed", pod_reason="OutOfcpu", message="Node didn't have enough cpu", containerStatuses=[])],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "on node node-1 was refused (OutOfcpu): Node didn't have enough cpu", None),
    ),
    "devices that the node has lost": (
        [pod(0), pod(1, phase="Failed", pod_reason="UnexpectedAdmissionError", containerStatuses=[])],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "was refused (UnexpectedAdmissionError): no message", None),
    ),
    "an init container of the user's": (
        [pod(0), init_failed(1, "fetch-data", "no such bucket")],
        (Cause.UNKNOWN, "gpt-1-worker-0", "init container fetch-data ended with exit code 3 (Error): no such bucket", None),
    ),
    "deleted while its init container ran": (
        [pod(0), init_failed(1, "init-pytorch", "", deleted_at=60)],
        (Cause.INFRASTRUCTURE, "gpt-1-worker-0", "was deleted or lost", None),
    ),
    "a rank that waited for a pod that found no node": (
        [pod(0, exit_code=1, said=NO_PEER), absent(1)],
        (Cause.PREEMPTED, "gpt-1-worker-0", "pod gpt-1-worker-0 cannot be scheduled: Insufficient nvidia.com/gpu; the others waited for it in vain: DistStoreError", None),
    ),
    "an init container that waited for a master that found no node": (
        [absent(0), init_failed(1, "init-pytorch", "")],
        (Cause.PREEMPTED, "gpt-1-master-0", "Insufficient nvidia.com/gpu; the others waited for it in vain: pod gpt-1-worker-0: init container init-pytorch", None),
    ),
    "an init container that waited for a master that was still being started": (
        [pod(0, phase="Pending", containerStatuses=[]), init_failed(1, "init-pytorch", "")],
        (Cause.PREEMPTED, "gpt-1-master-0", "pod gpt-1-master-0 has not started; the others", None),
    ),
    "a user error while another pod finds no node": (
        [pod(0, exit_code=2, said=words("UserError", "spec.data: no")), absent(1)],
        (Cause.USER_ERROR, "gpt-1-master-0", "spec.data: no", 2),
    ),
    "killed from outside while another pod finds no node": (
        [pod(0, exit_code=137), absent(1)],
        (Cause.INFRASTRUCTURE, "gpt-1-master-0", "SIGKILL", 137),
    ),
    "killed after it had said that all was well": (
        [pod(0, exit_code=137, said=words(None, "", "Succeeded")), pod(1, exit_code=0)],
        (Cause.INFRASTRUCTURE, "gpt-1-master-0", "was killed (SIGKILL) from outside", 137),
    ),
    "ended oddly after it had said that all was well": (
        [pod(0, exit_code=3, said=words(None, "", "Succeeded")), pod(1, exit_code=0)],
        (Cause.UNKNOWN, "gpt-1-master-0", "exit code 3 (Error) and had said that all was well; see its log", 3),
    ),
    "words that are none of ours": (
        [pod(0, exit_code=1, said='{"outcome": "Failed", "cause": "Magic"}'), pod(1)],
        (Cause.UNKNOWN, "gpt-1-master-0", "left no message", 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_culprit_and_cause(name: str) -> None:
    pods, (cause, culprit, message, exit_code) = CASES[name]
    end = judge_failure(pods)
    assert end is not None
    assert (end.cause, end.pod, end.exit_code) == (cause, culprit, exit_code)
    assert message in end.message


def test_nothing_has_failed_while_pods_run_or_succeed() -> None:
    assert judge_failure([pod(0), pod(1, exit_code=0)]) is None


def test_success_is_the_masters() -> None:
    assert judge_success([pod(0), pod(1, exit_code=0)]) is None
    assert judge_success([pod(0, exit_code=0), pod(1)]) is not None


def test_last_words_are_bounded_and_without_control_characters() -> None:
    said = words("Unknown", "a\x1b[31mred\x07 " + "x" * 3000)
    end = judge_failure([pod(0, exit_code=1, said=said)])
    assert end is not None
    assert len(end.message) <= 2000
    assert "\x1b" not in end.message
