"""Every value of the chart with its type, default and text: the single source.

`python -m tools.chart` makes values.yaml, values.schema.json and the table of operator/docs/install.md
from it. Names are camelCase in the chart. An empty string means "not set", as is usual in charts.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
NamespaceName = Annotated[str, Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
NameOrEmpty = Annotated[str, Field(pattern="^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
# A number passes the schema, so that the template can say what to do about it.
Tag = Annotated[str, WithJsonSchema({"type": ["string", "number"]})]
Kubernetes = dict[str, Any]
"""A piece of a Kubernetes object, passed on as it is; the API server checks it."""


class Values(BaseModel):
    """Base of all groups: unknown names are refused, so that a typo cannot go unnoticed."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Reference(Values):
    """A Secret in the namespace of whoever uses it."""

    name: str = Field(description="Name of the Secret.", min_length=1)


class OperatorImage(Values):
    """The operator's image."""

    repository: str = Field("trainwright-operator", description="Name below the registry.")
    tag: Tag = Field(
        "",
        description="Tag; empty: the chart's appVersion. One of digits has to be text: in quotes, or by "
        "--set-string.",
    )
    digest: str = Field(
        "",
        description="Digest, sha256:...; wins over the tag.",
        pattern="^(sha256:[0-9a-f]{64})?$",
    )
    pull_policy: PullPolicy = Field("IfNotPresent", description="When the kubelet pulls it.")


class TrainerImage(OperatorImage):
    """The trainer's image."""

    repository: str = Field("trainwright-trainer", description="Name below the registry.")


class Trainer(Values):
    """Defaults of the trainer's pods."""

    image: TrainerImage = Field(
        TrainerImage(), description="Image of the pods; a run's workers.image wins."
    )
    image_pull_secrets: list[Reference] = Field(
        [],
        description="Secrets for pulling it, [{name: ...}]; they must be in each run's namespace.",
    )
    s3_endpoint: str = Field(
        "",
        description="Endpoint of s3:// addresses that name none, such as http://minio.storage:9000; "
        "empty: AWS.",
        pattern="^(https?://.+)?$",
    )
    pod_defaults: Kubernetes = Field(
        {},
        description="Fields of a pod template ({metadata, spec}) merged into every trainer pod; a "
        "run's podOverrides win.",
    )


class Utilization(Values):
    """When a run that says nothing else counts as underutilized."""

    minimum_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        30,
        description="Mean utilisation of its devices below which a run counts as underutilized, unless its "
        "spec says otherwise; 0: never (unit: percent).",
    )
    minutes: Annotated[float, Field(gt=0)] = Field(
        30, description="How long a run has to stay below it (unit: minutes)."
    )


class Crds(Values):
    """The custom resource definitions."""

    install: bool = Field(
        True,
        description="Install and upgrade them with the chart. They always stay at uninstall, so "
        "that no run is ever deleted by it.",
    )


class ServiceAccount(Values):
    """The operator's account."""

    create: bool = Field(True, description="Create it; false: `name` exists already.")
    name: NameOrEmpty = Field("", description="Its name; empty: the release's full name.")
    annotations: dict[str, str] = Field({}, description="Annotations of the account.")


class Rbac(Values):
    """Rights."""

    create: bool = Field(
        True, description="Create the operator's roles and bindings; false: you bind them yourself."
    )
    user_roles: bool = Field(
        True,
        description="Let the built-in roles admin, edit and view include TrainingRuns and "
        "FineTuneJobs (aggregated ClusterRoles).",
    )


class PodDisruptionBudget(Values):
    """Voluntary evictions of the operator's pod."""

    enabled: bool = Field(False, description="Create a PodDisruptionBudget for the operator.")
    max_unavailable: int = Field(
        1,
        description="0 holds up the drain of its node until you act; 1 lets it move (runs go on "
        "without it).",
        ge=0,
        le=1,
    )


class NetworkPolicies(Values):
    """Network policies; they need a network plugin that enforces them."""

    operator: bool = Field(
        False,
        description="Limit the operator: metrics in; DNS, the API server, trainers and the port of "
        "otlpEndpoint out.",
    )
    trainer: bool = Field(
        False,
        description="Limit what reaches trainer pods: the operator and metrics on port 8470, and the "
        "trainer pods of the same namespace on all ports.",
    )
    trainer_namespaces: list[NamespaceName] = Field(
        [], description="Namespaces that get the trainer policy; empty: watchNamespaces."
    )
    metrics_from: list[Kubernetes] = Field(
        [],
        description="Peers that may read metrics, as in a NetworkPolicy's `from`; empty: every pod "
        "of the cluster.",
    )
    api_server_ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        [443, 6443], description="Ports of the API server that the operator may reach."
    )
    extra_egress: list[Kubernetes] = Field(
        [],
        description="What else the operator may reach, as in a NetworkPolicy's `egress`: a proxy of "
        "extraEnv, or DNS on another port.",
    )


class Monitor(Values):
    """One monitor of the Prometheus operator."""

    enabled: bool = Field(False, description="Create it; needs the Prometheus operator's CRDs.")
    interval: str = Field("15s", description="Time between scrapes.", pattern="^[0-9]+(ms|s|m)$")
    labels: dict[str, str] = Field({}, description="Labels by which your Prometheus selects it.")


class PrometheusRule(Values):
    """Recording and alerting rules."""

    enabled: bool = Field(False, description="Create it; needs the Prometheus operator's CRDs.")
    labels: dict[str, str] = Field({}, description="Labels by which your Prometheus selects it.")
    runbook_base_url: str = Field(
        "",
        description="Where people read the runbooks, such as https://wiki.example/runbooks: the alerts' "
        "runbook_url is this, a slash and the alert's name with .md; empty: alerts have none.",
        pattern="^(https?://.+)?$",
    )


class Grafana(Values):
    """Your Grafana, which has the dashboards."""

    url: str = Field(
        "",
        description="Its address, such as https://grafana.example; every run's status.dashboardUrl then "
        "leads to the run's dashboard; empty: none.",
        pattern="^(https?://.+)?$",
    )


class Dashboards(Values):
    """Grafana dashboards as ConfigMaps or as resources of the Grafana operator."""

    enabled: bool = Field(False, description="Create them.")
    kind: Literal["ConfigMap", "GrafanaDashboard"] = Field(
        "ConfigMap",
        description="ConfigMap: for the sidecar of Grafana's chart; GrafanaDashboard: for the Grafana "
        "operator 5, whose CRDs must be there.",
    )
    labels: dict[str, str] = Field(
        {"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds them."
    )
    annotations: dict[str, str] = Field(
        {}, description="Annotations, such as the sidecar's folder: {grafana_folder: Training}."
    )
    instance_selector: Kubernetes = Field(
        {},
        description="Labels of the Grafana that gets the dashboards, in any namespace, such as "
        "{matchLabels: {dashboards: grafana}}; empty: every one. Only for GrafanaDashboard, and "
        "fixed once created.",
    )
    folder: str = Field(
        "", description="Folder in Grafana; only for GrafanaDashboard; empty: General."
    )


class Monitoring(Values):
    """What Prometheus and Grafana find."""

    scrape_annotations: bool = Field(
        True,
        description="Put prometheus.io annotations on the operator's pod and on all trainer pods, by "
        "which a plain Prometheus finds them; false where monitors find them already.",
    )
    service_monitor: Monitor = Field(
        Monitor(), description="ServiceMonitor of the operator's metrics."
    )
    pod_monitor: Monitor = Field(Monitor(), description="PodMonitor of all trainer pods.")
    prometheus_rule: PrometheusRule = Field(
        PrometheusRule(), description="PrometheusRule with alerts and recording rules."
    )
    dashboards: Dashboards = Field(
        Dashboards(), description="The four dashboards, for Grafana to find."
    )


class ChartValues(Values):
    """All values of the chart, in the order of values.yaml."""

    registry: str = Field(
        "localhost",
        description="Registry and path before both images' names, as in `make images REGISTRY=...`; "
        "localhost: images loaded onto the nodes.",
    )
    image: OperatorImage = Field(OperatorImage(), description="The operator's image.")
    image_pull_secrets: list[Reference] = Field(
        [], description="Secrets for pulling the operator's image, [{name: ...}]."
    )
    trainer: Trainer = Field(Trainer(), description="Defaults of the trainer's pods.")
    watch_namespaces: list[NamespaceName] = Field(
        [], description="Namespaces whose runs are served, with rights in these only; empty: all."
    )
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {},
        description="USD per hour of one unit of a resource, of memory and ephemeral-storage by GiB, for the cost "
        "of runs, such as {nvidia.com/gpu: 2.5, cpu: 0.04, memory: 0.005}; a run on accelerators "
        "without a price has no cost.",
    )
    utilization: Utilization = Field(
        Utilization(), description="Use of the devices that is expected of a run."
    )
    otlp_endpoint: str = Field(
        "",
        description="Base URL of an OTLP/HTTP receiver, such as http://collector.monitoring:4318, to which "
        "operator and trainers send their metrics; empty: none.",
        pattern="^(https?://.+)?$",
    )
    log_level: LogLevel = Field("INFO", description="Least severe lines that the operator logs.")
    extra_env: list[Kubernetes] = Field(
        [], description="More environment of the operator, as in a container's `env`."
    )
    crds: Crds = Field(Crds(), description="The custom resource definitions.")
    rbac: Rbac = Field(Rbac(), description="Rights of the operator and of users.")
    service_account: ServiceAccount = Field(
        ServiceAccount(), description="The operator's ServiceAccount."
    )
    resources: Kubernetes = Field(
        {
            "requests": {"cpu": "50m", "memory": "192Mi"},
            "limits": {"memory": "512Mi"},
        },
        description="Resources of the operator's container. No CPU limit: throttling delays restarts.",
    )
    termination_grace_period_seconds: int = Field(
        30, description="Time to finish what is being written (unit: seconds).", ge=5, le=600
    )
    pod_security_context: Kubernetes = Field(
        {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        description="Security context of the operator's pod.",
    )
    security_context: Kubernetes = Field(
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        description="Security context of the operator's container.",
    )
    pod_annotations: dict[str, str] = Field({}, description="Annotations of the operator's pod.")
    pod_labels: dict[str, str] = Field(
        {}, description="More labels of the operator's pod; none of the chart's own."
    )
    priority_class_name: str = Field("", description="PriorityClass of the operator's pod.")
    node_selector: dict[str, str] = Field(
        {}, description="Labels that the operator's node must have."
    )
    tolerations: list[Kubernetes] = Field([], description="Taints that the operator tolerates.")
    affinity: Kubernetes = Field({}, description="Affinity of the operator's pod.")
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="Voluntary evictions of the operator's pod."
    )
    network_policies: NetworkPolicies = Field(
        NetworkPolicies(), description="Network policies; off by default."
    )
    monitoring: Monitoring = Field(Monitoring(), description="What Prometheus and Grafana find.")
    grafana: Grafana = Field(Grafana(), description="Your Grafana, which has the dashboards.")
    name_override: NameOrEmpty = Field(
        "", description="Replaces the chart's name in names and labels; fixed once installed."
    )
    fullname_override: NameOrEmpty = Field("", description="Replaces the full name of all objects.")
    global_: Kubernetes | None = Field(
        None, alias="global", description="Set by Helm for subcharts; not used."
    )
