from typing import Any

import pytest
from trainwright_operator.facts import EventFacts, Observed, PodFacts
from trainwright_operator.pending import find_obstacle

from tests.unit.operator.builders import pod

MASTER = "gpt-1-master-0"
NO_SECRET = 'MountVolume.SetUp failed for volume "secret-s3" : secret "s3" not found'
INVALID = 'Error creating: Pod "gpt-1-master-0" is invalid: spec.hostname: Invalid value: "A_b"'
QUOTA = 'pods "x" is forbidden: exceeded quota: small'


def unscheduled(message: str) -> PodFacts:
    return pod(
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "message": message}],
    )


def waiting(reason: str, message: str) -> PodFacts:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(phase="Pending", containerStatuses=[{"name": "pytorch", "state": state}])


def beside(place: str, name: str, reason: str, message: str) -> PodFacts:
    """A container beside the trainer's, which waits its turn."""
    trainer = {"name": "pytorch", "state": {"waiting": {"reason": "PodInitializing"}}}
    done = {"name": "init-pytorch", "state": {"terminated": {"exitCode": 0}}}
    other = {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}
    statuses: dict[str, Any] = {"containerStatuses": [trainer], "initContainerStatuses": [done]}
    return pod(phase="Pending", **(statuses | {place: [*statuses[place], other]}))


CASES: dict[str, tuple[Observed, str, str]] = {
    "too little memory": (
        Observed(pods=(unscheduled("0/2 nodes: Insufficient memory"),)),
        "Unschedulable",
        "Insufficient memory",
    ),
    "no claim": (
        Observed(pods=(unscheduled('persistentvolumeclaim "data" not found'),)),
        "MissingClaim",
        'claim "data" not found; create the claim',
    ),
    "no secret": (
        Observed(
            pods=(pod(phase="Pending"),), warnings=(EventFacts(MASTER, "FailedMount", NO_SECRET),)
        ),
        "MissingSecret",
        'secret "s3" not found; create the Secret',
    ),
    "a volume that cannot be attached": (
        Observed(
            pods=(pod(phase="Pending"),),
            warnings=(EventFacts(MASTER, "FailedAttachVolume", "node has no room"),),
        ),
        "VolumeNotMounted",
        "node has no room",
    ),
    "no room in the quota": (
        Observed(warnings=(EventFacts("gpt-1", "FailedCreatePod", QUOTA),)),
        "QuotaExceeded",
        "exceeded quota: small; raise the quota",
    ),
    "a pod that the API server refuses": (
        Observed(warnings=(EventFacts("gpt-1", "FailedCreatePod", INVALID),)),
        "PodsNotCreated",
        'Pod "gpt-1-master-0" is invalid: spec.hostname: Invalid value',
    ),
    "an image that cannot be pulled": (
        Observed(pods=(waiting("ImagePullBackOff", "Back-off pulling image x:1"),)),
        "ImagePullFailed",
        "cannot pull the image of container pytorch: Back-off pulling image x:1; check workers.image",
    ),
    "an init container's image": (
        Observed(pods=(beside("initContainerStatuses", "fetch", "ErrImagePull", "x:2"),)),
        "ImagePullFailed",
        "cannot pull the image of container fetch: x:2; check workers.podOverrides",
    ),
    "a sidecar's image": (
        Observed(pods=(beside("containerStatuses", "logs", "ImagePullBackOff", "x:3"),)),
        "ImagePullFailed",
        "cannot pull the image of container logs: x:3; check workers.podOverrides",
    ),
    "a container that cannot be made": (
        Observed(pods=(waiting("CreateContainerConfigError", 'secret "token" not found'),)),
        "ContainerNotStarted",
        'secret "token" not found',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_obstacle(name: str) -> None:
    observed, reason, words = CASES[name]
    obstacle = find_obstacle(observed, 1, 2)
    assert obstacle is not None
    assert obstacle.reason == reason
    assert words in obstacle.message


PAST: dict[str, dict[str, Any]] = {
    "of a pod that runs by now": {
        "pods": (pod(0), pod(1)),
        "warnings": (EventFacts(MASTER, "FailedMount", NO_SECRET),),
    },
    "of a quota that has room by now": {
        "pods": (pod(0), pod(1, phase="Pending")),
        "warnings": (EventFacts("gpt-1", "FailedCreatePod", QUOTA),),
    },
    "of a pod that is gone": {"pods": (pod(0, phase="Pending", is_gone=True), pod(0), pod(1))},
}


@pytest.mark.parametrize("name", PAST)
def test_an_obstacle_of_the_past_is_none(name: str) -> None:
    assert find_obstacle(Observed(**PAST[name]), 1, 2) is None
