"""What no pod can have: names and values that Kubernetes refuses once the pods are made."""

from tests.manifests.build import RUN, Bad

SELECTOR, TOLERATION = "spec.workers.nodeSelector", "spec.workers.tolerations[0]"
NO_NAME = "expected names of labels, such as example.com/gpu-type; see kubectl get nodes"


def _selector(name: str, key: str) -> Bad:
    return Bad(name, RUN, {"workers.nodeSelector": {key: "x"}}, SELECTOR, f"got {key}, {NO_NAME}")


def _toleration(name: str, toleration: dict[str, str], field: str, says: str) -> Bad:
    changes = {"workers.tolerations": [toleration]}
    return Bad(name, RUN, changes, f"{TOLERATION}.{field}", says)


def _resource(name: str, resource: str, amount: str, says: str) -> Bad:
    changes = {"workers.resources": {resource: amount}}
    return Bad(name, RUN, changes, "spec.workers.resources", says)


BAD_WORKERS = (
    _selector("the name of a label with a space", "gpu type"),
    _selector("the name of a label with two slashes", "example.com/gpu/type"),
    _selector("the name of a label without a domain", "/gpu"),
    _selector("the name of a label that is too long", "g" * 64),
    _toleration(
        "the key of a taint with a space",
        {"key": "gpu only", "operator": "Exists"},
        "key",
        "got gpu only, expected the key of a taint, such as nvidia.com/gpu; see kubectl describe node",
    ),
    _toleration(
        "the value of a taint with a space",
        {"key": "gpu", "value": "H100 only"},
        "value",
        "got H100 only, expected the value of a taint, up to 63 letters",
    ),
    _resource(
        "half a device",
        "example.com/nic",
        "0.5",
        "got 0.5, expected a whole number of example.com/nic; write 1",
    ),
    _resource(
        "500 thousandths of a device",
        "example.com/nic",
        "500m",
        "got 500m, expected a whole number of example.com/nic; write 1",
    ),
    _resource(
        "a device without a name",
        "example.com/",
        "1",
        "got example.com/, expected cpu, memory, ephemeral-storage or an extended resource",
    ),
    Bad(
        "an accelerator whose name starts with a dash",
        RUN,
        {"workers": {"accelerator": "nvidia.com/-gpu"}},
        "spec.workers.accelerator",
        "got nvidia.com/-gpu, expected None or an extended resource; write None or nvidia.com/gpu",
    ),
)
