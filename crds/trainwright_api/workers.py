"""Where a run trains: pods, accelerators, resources, and how it recovers.

`pod_overrides` is the only field without a schema: it is merged into the pod template last, so that
the API stays small and nothing that Kubernetes offers is out of reach.
"""

from typing import Any, ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule


class EnvironmentVariable(Model):
    """One variable of the trainer's container."""

    name: str = Field(description="Name of the variable.", max_length=256)
    value: str = Field(
        description="Its value; never a secret: specs can be read by many.", max_length=4096
    )


class Toleration(Model):
    """A toleration of a taint, as in a pod."""

    key: str | None = Field(
        None, description="Key of the taint; empty with operator Exists matches all."
    )
    operator: str | None = Field(None, description="Exists or Equal. Default Equal.")
    value: str | None = Field(None, description="Value of the taint.")
    effect: str | None = Field(
        None, description="NoSchedule, PreferNoSchedule or NoExecute; empty matches all."
    )
    toleration_seconds: int | None = Field(
        None, description="NoExecute: seconds the pod stays after the taint appears."
    )


class Workers(Model):
    """The pods of the run, one per node, all alike."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.accelerator == 'None' || self.accelerator.matches('^[a-z0-9.-]+/[A-Za-z0-9._-]+$')",
            "expected None or an extended resource such as nvidia.com/gpu",
            message_expression="'got ' + self.accelerator + ', expected None or an extended resource such as nvidia.com/gpu'",
            field_path=".accelerator",
        ),
        Rule(
            "!has(self.processesPerNode) || self.accelerator == 'None'",
            "got processesPerNode together with an accelerator, expected it for CPU training only; remove it or set accelerator to None",
            field_path=".processesPerNode",
        ),
        Rule(
            "!has(self.acceleratorMemoryGiB) || self.accelerator != 'None'",
            "got acceleratorMemoryGiB without an accelerator, expected resources.memory for CPU training; remove it",
            field_path=".acceleratorMemoryGiB",
        ),
        Rule(
            "self.resources.all(name, type(self.resources[name]) == int || self.resources[name].matches('^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$'))",
            "expected Kubernetes quantities such as 500m, 2 or 3Gi",
            field_path=".resources",
        ),
        Rule(
            "self.accelerator == 'None' || !(self.accelerator in self.resources)",
            "got the accelerator in resources, expected acceleratorsPerNode to say how many; remove it from resources",
            field_path=".resources",
        ),
    )

    nodes: int = Field(1, ge=1, le=4096, description="Number of pods, one per node. Default 1.")
    accelerator: str = Field(
        "nvidia.com/gpu",
        description="Extended resource of the accelerators, or None to train on CPUs. Default nvidia.com/gpu.",
    )
    accelerators_per_node: int = Field(
        1,
        ge=1,
        le=64,
        description="Accelerators (and processes) per pod; ignored without accelerator. Default 1.",
    )
    processes_per_node: int | None = Field(
        None, ge=1, le=64, description="CPU training: processes per pod. Default 1."
    )
    resources: dict[str, int | str] = Field(
        default_factory=dict,
        max_length=16,
        description="Requests and limits of each pod as Kubernetes quantities, such as {cpu: 8, memory: 64Gi}; "
        "accelerators are added by acceleratorsPerNode.",
    )
    accelerator_memory_gib: float | None = Field(
        None,
        alias="acceleratorMemoryGiB",
        gt=0,
        description="Memory of one accelerator for the memory plan (unit: GiB). Default 80; CPU training "
        "uses resources.memory.",
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=64, description="Taints that the pods tolerate."
    )
    priority_class_name: str | None = Field(None, description="PriorityClass of the pods.")
    image: str | None = Field(None, description="Trainer image; default: the operator's setting.")
    env: list[EnvironmentVariable] = Field(
        default_factory=list, max_length=256, description="Variables of the trainer's container."
    )
    pod_overrides: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of a pod template ({metadata, spec}) merged last into every pod of the run; lists "
        "with names (containers, volumes, env) merge by name.",
    )


class RestartBudgets(Model):
    """Restarts allowed per cause; progress past a new checkpoint refills them."""

    infrastructure: int = Field(
        10, ge=0, le=1000, description="Node, network and storage failures. Default 10."
    )
    out_of_memory: int = Field(
        1, ge=0, le=1000, description="Processes that ran out of memory. Default 1."
    )
    numerical_failure: int = Field(
        2, ge=0, le=1000, description="Loss or gradients not finite. Default 2."
    )
    preempted: int = Field(
        1000, ge=0, le=100000, description="Pods preempted or evicted. Default 1000."
    )
    unknown: int = Field(3, ge=0, le=1000, description="Everything else. Default 3.")


class Backoff(Model):
    """Pause before a restart; it doubles with each failure in a row."""

    initial_seconds: float = Field(
        5, ge=0, le=3600, description="First pause (unit: seconds). Default 5."
    )
    maximum_seconds: float = Field(
        300, ge=0, le=86400, description="Longest pause (unit: seconds). Default 300."
    )


class Recovery(Model):
    """What happens when an attempt fails. User errors are never retried."""

    budgets: RestartBudgets = Field(
        default_factory=RestartBudgets, description="Restarts allowed per cause."
    )
    backoff: Backoff = Field(default_factory=Backoff, description="Pause before a restart.")
