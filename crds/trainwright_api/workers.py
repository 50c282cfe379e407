"""Where a run trains: pods, accelerators, resources, and how it recovers.

`pod_overrides` is the only field without a schema: it is merged into the pod template last, so that
the API stays small and nothing that Kubernetes offers is out of reach.
"""

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from trainwright_api.base import Model, Rule, expects

LabelValue = Annotated[str, Field(max_length=63)]

# As the server has them for pods: names of labels, taints and extended resources, and values of labels.
_DOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_NAME = f"'^({_DOMAIN}/)?{_NAME}$'"
_EXTENDED_RESOURCE = f"'^{_DOMAIN}/{_NAME}$'"
_LABEL_VALUE = "'^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$'"


class EnvironmentVariable(Model):
    """One variable of the trainer's container."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.name.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
            "a letter or _, then letters, digits and _; rename it",
            at=".name",
            got="self.name",
        ),
        expects(
            "!self.name.matches('^(PET_|TRAINWRIGHT_)')"
            " && !(self.name in ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'])",
            "a name that the platform does not set itself; set workers.nodes and processes instead",
            at=".name",
            got="self.name",
        ),
        expects(
            "!(self.name in ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'HF_TOKEN',"
            " 'WANDB_API_KEY', 'MLFLOW_TRACKING_USERNAME', 'MLFLOW_TRACKING_PASSWORD', 'MLFLOW_TRACKING_TOKEN',"
            " 'OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_EXPORTER_OTLP_METRICS_HEADERS'])",
            "no credentials in a spec, which many can read; put it into a Secret and name that in"
            " credentialsSecret, or in podOverrides",
            at=".name",
            got="self.name",
        ),
    )

    name: str = Field(description="Name of the variable. No default.", max_length=256)
    value: str = Field(
        description="Its value; never a secret: specs can be read by many. No default.",
        max_length=4096,
    )


class Toleration(Model):
    """A toleration of a taint, as in a pod."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "!has(self.operator) || self.operator in ['Exists', 'Equal']",
            "Exists or Equal; write one of these",
            at=".operator",
            got="self.operator",
        ),
        expects(
            "!has(self.effect) || self.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute', '']",
            "NoSchedule, PreferNoSchedule or NoExecute; write one of these or remove it to match all",
            at=".effect",
            got="self.effect",
        ),
        expects(
            "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
            "a key, or operator Exists to match all taints; write one of them",
            at=".key",
            said="no key",
        ),
        expects(
            f"!has(self.key) || self.key == '' || self.key.matches({_LABEL_NAME})",
            "the key of a taint, such as nvidia.com/gpu; see kubectl describe node",
            at=".key",
            got="self.key",
        ),
        expects(
            f"!has(self.value) || self.value.matches({_LABEL_VALUE})",
            "the value of a taint, up to 63 letters, digits, -, _ and .; see kubectl describe node",
            at=".value",
            got="self.value",
        ),
        expects(
            "!has(self.value) || self.value == '' || !has(self.operator) || self.operator != 'Exists'",
            "it with operator Equal only; remove it",
            at=".value",
            said="value with operator Exists",
        ),
        expects(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            "it with effect NoExecute only; remove it",
            at=".tolerationSeconds",
            said="tolerationSeconds with another effect",
        ),
    )

    key: str | None = Field(
        None,
        max_length=317,
        description="Key of the taint; empty with operator Exists matches all. No default.",
    )
    operator: str | None = Field(
        None, max_length=16, description="Exists or Equal. Default: Equal."
    )
    value: str | None = Field(None, max_length=63, description="Value of the taint. No default.")
    effect: str | None = Field(
        None,
        max_length=32,
        description="NoSchedule, PreferNoSchedule or NoExecute. Default: all of them.",
    )
    toleration_seconds: int | None = Field(
        None,
        ge=-1000000000,
        le=1000000000,
        description="NoExecute: how long the pod stays after the taint appears (unit: seconds). Default: for ever.",
    )


class PodOverrides(TypedDict, total=False):
    """What a pod template has; the values are not looked into."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    metadata: Annotated[
        dict[str, Any], Field(description="Labels and annotations of the pods. No default.")
    ]
    spec: Annotated[
        dict[str, Any],
        Field(
            description="Fields of a pod's spec; the trainer's container is called pytorch. No default."
        ),
    ]


# Of an entry of workers.resources, by `name`.
_IS_RESOURCE = (
    "name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-')"
    f" || name.matches({_EXTENDED_RESOURCE})"
)
_IS_QUANTITY = (
    "type(self.resources[name]) == int ? self.resources[name] >= 0"
    " : self.resources[name].matches('^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$')"
)
_FIRST_BAD_QUANTITY = f"self.resources.filter(name, !({_IS_QUANTITY}))[0]"
# Of devices, a pod has no parts.
_IS_WHOLE = (
    "!name.contains('/') || type(self.resources[name]) == int"
    " || !self.resources[name].matches('[.]|m$')"
)
_FIRST_BROKEN = f"self.resources.filter(name, !({_IS_WHOLE}))[0]"
_IS_LABEL = f"key.matches({_LABEL_NAME})"


class Workers(Model):
    """The pods of the run, all alike; what a spec calls a node is one pod."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            f"self.accelerator == 'None' || self.accelerator.matches({_EXTENDED_RESOURCE})",
            "None or an extended resource; write None or nvidia.com/gpu",
            at=".accelerator",
            got="self.accelerator",
        ),
        expects(
            "self.accelerator != 'None' || self.acceleratorsPerNode == 1",
            "it with an accelerator only; use processesPerNode for CPU training",
            at=".acceleratorsPerNode",
            got="self.acceleratorsPerNode",
        ),
        expects(
            "!has(self.processesPerNode) || self.accelerator == 'None'",
            "it for CPU training only; use acceleratorsPerNode or set accelerator to None",
            at=".processesPerNode",
            said="processesPerNode together with an accelerator",
        ),
        expects(
            "!has(self.acceleratorMemoryGiB) || self.accelerator != 'None'",
            "it with an accelerator only; use resources.memory for CPU training",
            at=".acceleratorMemoryGiB",
            said="acceleratorMemoryGiB without an accelerator",
        ),
        expects(
            f"self.resources.all(name, {_IS_RESOURCE})",
            "cpu, memory, ephemeral-storage or an extended resource such as example.com/nic; correct it",
            at=".resources",
            got=f"self.resources.filter(name, !({_IS_RESOURCE}))[0]",
        ),
        expects(
            f"self.resources.all(name, {_IS_QUANTITY})",
            "a quantity of Kubernetes for {name}; write 500m, 2 or 3Gi",
            at=".resources",
            got=f"self.resources[{_FIRST_BAD_QUANTITY}]",
            name=_FIRST_BAD_QUANTITY,
        ),
        expects(
            f"self.resources.all(name, {_IS_WHOLE})",
            "a whole number of {name}; write 1",
            at=".resources",
            got=f"self.resources[{_FIRST_BROKEN}]",
            name=_FIRST_BROKEN,
        ),
        expects(
            "self.accelerator == 'None' || !(self.accelerator in self.resources)",
            "acceleratorsPerNode to say how many; remove it from resources",
            at=".resources",
            got="self.accelerator",
        ),
        expects(
            f"self.nodeSelector.all(key, {_IS_LABEL})",
            "names of labels, such as example.com/gpu-type; see kubectl get nodes --show-labels",
            at=".nodeSelector",
            got=f"self.nodeSelector.filter(key, !({_IS_LABEL}))[0]",
        ),
        expects(
            f"self.nodeSelector.all(key, self.nodeSelector[key].matches({_LABEL_VALUE}))",
            "values of labels, up to 63 letters, digits, -, _ and .; see kubectl get nodes --show-labels",
            at=".nodeSelector",
            said="something that no label can be",
        ),
        expects(
            "!has(self.image) || self.image.matches('^[A-Za-z0-9][-A-Za-z0-9._/:@]*$')",
            "an image such as registry.example/team/trainer:1; correct it",
            at=".image",
            got="self.image",
        ),
    )

    nodes: int = Field(
        1,
        ge=1,
        le=4096,
        description="Number of pods; small ones may share a node of the cluster, unless podOverrides has an "
        "anti-affinity (unit: pods). Default 1.",
    )
    accelerator: str = Field(
        "nvidia.com/gpu",
        max_length=317,
        description="Extended resource of the accelerators, or None to train on CPUs. Default nvidia.com/gpu.",
    )
    accelerators_per_node: int = Field(
        1,
        ge=1,
        le=64,
        description="Accelerators, and processes, of each pod; not for CPU training (unit: accelerators). "
        "Default 1.",
    )
    processes_per_node: int | None = Field(
        None,
        ge=1,
        le=64,
        description="CPU training: processes of each pod (unit: processes). Default: 1.",
    )
    resources: dict[str, int | str] = Field(
        default_factory=dict,
        max_length=16,
        description="Requests and limits of each pod as Kubernetes quantities, such as {cpu: 8, memory: 64Gi}; "
        "accelerators are added by acceleratorsPerNode. Default: none, the namespace's own.",
    )
    accelerator_memory_gib: float | None = Field(
        None,
        alias="acceleratorMemoryGiB",
        gt=0,
        le=10000,
        description="Memory of one accelerator for the memory plan (unit: GiB). Default: 80.",
    )
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Labels that a node must have. Default: none.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        max_length=64,
        description="Taints that the pods tolerate. Default: none.",
    )
    priority_class_name: str | None = Field(
        None, max_length=253, description="PriorityClass of the pods. Default: the cluster's own."
    )
    image: str | None = Field(
        None, max_length=512, description="Trainer image. Default: the operator's setting."
    )
    env: list[EnvironmentVariable] = Field(
        default_factory=list,
        max_length=256,
        description="Variables of the trainer's container, by name. Default: none.",
    )
    pod_overrides: PodOverrides = Field(
        default_factory=PodOverrides,
        description="Fields of a pod template ({metadata, spec}) merged last into every pod of the run; lists "
        "with names (containers, volumes, env) merge by name. Default: none.",
    )


class RestartBudgets(Model):
    """Restarts allowed per cause; an attempt that saves a checkpoint refills them."""

    infrastructure: int = Field(
        10,
        ge=0,
        le=1000,
        description="Node, network and storage failures (unit: restarts). Default 10.",
    )
    out_of_memory: int = Field(
        1,
        ge=0,
        le=1000,
        description="Processes that ran out of memory (unit: restarts). Default 1.",
    )
    numerical_failure: int = Field(
        2, ge=0, le=1000, description="Loss or gradients not finite (unit: restarts). Default 2."
    )
    preempted: int = Field(
        1000,
        ge=0,
        le=100000,
        description="Pods preempted or evicted (unit: restarts). Default 1000.",
    )
    unknown: int = Field(
        3, ge=0, le=1000, description="Everything else (unit: restarts). Default 3."
    )


class Backoff(Model):
    """Pause before a restart; it doubles with each failure since the last new checkpoint."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.initialSeconds <= self.maximumSeconds",
            "at most the {maximum} of maximumSeconds; change one of them",
            at=".initialSeconds",
            got="self.initialSeconds",
            maximum="self.maximumSeconds",
        ),
    )

    initial_seconds: float = Field(
        5, ge=0, le=3600, description="First pause (unit: seconds). Default 5."
    )
    maximum_seconds: float = Field(
        300, ge=0, le=86400, description="Longest pause (unit: seconds). Default 300."
    )


class Recovery(Model):
    """What happens when an attempt fails. User errors are never retried."""

    budgets: RestartBudgets = Field(
        default_factory=RestartBudgets,
        description="Restarts allowed per cause; an attempt that saves a checkpoint refills all of them. A user "
        "error is never retried.",
    )
    backoff: Backoff = Field(
        default_factory=Backoff,
        description="Pause before a restart: it doubles with each failure since the last new checkpoint, and up to a "
        "fifth of it is left out at random.",
    )
