"""Says why an attempt does not start: the first obstacle that its pods or events name; pure."""

from collections.abc import Sequence

from trainwright_api import names

from trainwright_operator.facts import EventFacts, Observed, PodFacts, Problem

_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
VOLUME_REASONS = ("FailedMount", "FailedAttachVolume")
_CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def find_obstacle(observed: Observed, attempt: int, num_pods: int) -> Problem | None:
    """Return what keeps the pods of an attempt from running; None while all is on its way."""
    pods = [pod for pod in observed.pods_of(attempt) if not pod.is_gone]
    for pod in pods:
        if obstacle := find_pod_obstacle(pod):
            return obstacle
    waiting = {pod.name for pod in pods if pod.phase == "Pending" and pod.node}
    for warning in observed.warnings:
        if warning.name in waiting and (obstacle := _of_warning(warning)):
            return obstacle
    return find_creation_failure(observed.warnings) if len(pods) < num_pods else None


def find_pod_obstacle(pod: PodFacts) -> Problem | None:
    """Return what a pod itself says that keeps it from running."""
    if (
        pod.unschedulable
        and "persistentvolumeclaim" in pod.unschedulable
        and "not found" in pod.unschedulable
    ):
        return Problem(
            "MissingClaim",
            f"pod {pod.name} cannot be scheduled: {pod.unschedulable}; create the claim in this namespace",
        )
    if pod.unschedulable:
        return Problem("Unschedulable", f"pod {pod.name} cannot be scheduled: {pod.unschedulable}")
    if pod.waiting_reason in _PULL_REASONS:
        return Problem(
            "ImagePullFailed",
            f"pod {pod.name} cannot pull the image of container {pod.waiting_container}: "
            f"{pod.waiting_message or pod.waiting_reason}; check {_image_field(pod)} and the pull secrets",
        )
    if pod.waiting_reason in _CONFIG_REASONS:
        return Problem(
            "ContainerNotStarted",
            f"pod {pod.name}, container {pod.waiting_container}: "
            f"{pod.waiting_message or pod.waiting_reason}",
        )
    return None


def _image_field(pod: PodFacts) -> str:
    is_trainer = pod.waiting_container == names.TRAINER_CONTAINER
    return "workers.image" if is_trainer else "workers.podOverrides"


def _of_warning(warning: EventFacts) -> Problem | None:
    text = warning.message
    if warning.reason == "FailedMount" and "secret" in text and "not found" in text:
        return Problem(
            "MissingSecret", f"{warning.name}: {text}; create the Secret in this namespace"
        )
    if warning.reason in VOLUME_REASONS:
        return Problem("VolumeNotMounted", f"{warning.name}: {text}")
    return None


def find_creation_failure(warnings: Sequence[EventFacts]) -> Problem | None:
    """Return why pods of an attempt that lacks some were not created."""
    for warning in warnings:
        if "exceeded quota" in warning.message:
            return Problem(
                "QuotaExceeded",
                f"{warning.message}; raise the quota, or lower workers.nodes or workers.resources",
            )
        if warning.reason in ("FailedCreatePod", "FailedCreate"):
            return Problem("PodsNotCreated", warning.message)
    return None
