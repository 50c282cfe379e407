"""The planner's estimate against the memory that a finished run was last seen to take."""

from demo.place import JSON


def planned_to_measured(status: JSON) -> float:
    """Return planned over measured memory of a device, from the status of a run of one process a pod.

    On CPUs, what is measured is all that the fullest pod's processes hold.
    """
    planned, measured = status["plan"]["memoryGiB"], status["hardware"]["memoryUsedGiB"]
    return float(planned / measured)
