"""The demo from start to end on a cluster, and its start on the embedded one.

The current cluster, which is not ours, differs only at the start: `demo.current`.
"""

from collections.abc import Callable, Sequence

from trainwright_api.names import FINE_TUNE_JOB, LABEL_RUN, TRAINING_RUN, Phase

from demo import manifests
from demo.console import Console
from demo.data import ensure_data
from demo.errors import DemoError
from demo.follow import follow_run
from demo.install import (
    Images,
    apply_secret,
    delete_checkpoints,
    ensure_namespace,
    install_chart,
    upload_folder,
)
from demo.interrupt import Interruption
from demo.monitoring import PRICES, Monitoring, describe_dashboards, start_monitoring
from demo.place import JSON, Place, Store
from demo.settings import Settings
from demo.summary import describe_run, describe_times
from tests.cluster import Cluster, ClusterSpec, Mount
from tests.cluster.s3 import REGION
from tools.images import build_archive, ensure_trainer_venv

DEADLINE_SECONDS = {TRAINING_RUN: 1500.0, FINE_TUNE_JOB: 1200.0}
PODS_GONE_SECONDS = 90  # a trainer's pod has 60 to save when it is told to end
NODES = 2


def run_on_embedded_cluster(
    settings: Settings, console: Console, cluster_name: str | None = None
) -> int:
    """The demo on a cluster of its own, which stays until `make demo-down`; by default the settings'."""
    with console.stage("Build or find the images"):
        operator, trainer = build_archive("operator"), build_archive("trainer-code")
        environment = ensure_trainer_venv()
        console.say(f"operator {operator.reference}, trainer {trainer.reference}")
    with console.stage("Start a Kubernetes cluster"):
        mount = Mount(str(environment), "/opt/venv")
        spec = ClusterSpec(
            name=cluster_name or settings.cluster_name,
            nodes=NODES,
            mounts=(mount,),
            images=tuple(str(image.archive) for image in (operator, trainer) if image.archive),
        )
        cluster = Cluster.up(spec, console.show)
        console.say("it runs already" if cluster.is_reused else "it runs")
        monitoring = start_monitoring(cluster)
    tags = {image.name: image.reference.removeprefix("localhost/") for image in (operator, trainer)}
    images = Images("localhost", tags["operator"], tags["trainer-code"])
    next_steps = (
        f"The cluster stays: export KUBECONFIG={cluster.kubeconfig}\n"
        "  kubectl get trainwright\n"
        f"  kubectl describe trainingrun {manifests.PRETRAINING}\n"
        f"  make demo-down{'' if cluster.name == 'demo' else f' DEMO_CLUSTER={cluster.name}'}"
    )
    place = embedded_place(cluster, settings.namespace)
    ensure_namespace(place)
    return run_story(place, images, settings, console, next_steps, monitoring, PRICES)


def embedded_place(cluster: Cluster, namespace: str) -> Place:
    """The embedded cluster as a place."""
    store = Store(
        endpoint=f"http://127.0.0.1:{cluster.state.s3_port}",
        endpoint_of_pods=cluster.inner_s3_endpoint,
        access_key=cluster.state.access_key,
        secret_key=cluster.state.secret_key,
        region=REGION,
    )
    name = f"the embedded cluster {cluster.name!r}"
    return Place(name, namespace, store, cluster.kubectl_environment())


def run_story(
    place: Place,
    images: Images,
    settings: Settings,
    console: Console,
    next_steps: str,
    monitoring: Monitoring,
    chart_values: Sequence[str] = (),
) -> int:
    """Install, prepare, pretrain with a killed worker, fine-tune, sum up."""
    with console.stage("Install the chart"):
        install_chart(place, images, *chart_values)
        console.say("the operator is ready")
    with console.stage("Bring data and model into the store"):
        count = upload_folder(place.store, ensure_data())
        apply_secret(place)
        console.say(f"{count} files: standard library, dialogues, SmolLM2-135M-Instruct")
    runs = []
    with console.stage("Pretrain a language model on Python's standard library"):
        example = example_for(manifests.PRETRAINING, place, settings)
        interruption = Interruption(place, console, manifests.PRETRAINING, is_wanted=settings.kills)
        runs.append(run_example(place, console, example, interruption.watch))
        interruption.check(runs[-1]["status"])
    if settings.fine_tunes:
        with console.stage("Fine-tune SmolLM2-135M-Instruct on dialogues"):
            example = example_for(manifests.FINE_TUNING, place, settings)
            runs.append(run_example(place, console, example, ignore))
    console.show("\n" + place.kubectl("get", "trainwright", "-n", place.namespace))
    for run in runs:
        console.show(describe_run(run) + "\n")
    console.show(describe_times(console.seconds_of_stage, console.seconds()))
    names = [run["metadata"]["name"] for run in runs]
    shown = describe_dashboards(monitoring, place.namespace, names, console.seconds())
    console.show(f"\n{shown}\n\n{next_steps}")
    return 0


def ignore(status: JSON) -> None:
    """Do nothing on a new status."""


def example_for(name: str, place: Place, settings: Settings) -> JSON:
    """An example, fitted to this store and hurry."""
    manifest = manifests.read_example(name)
    manifest = manifests.with_steps(manifest, settings.num_steps)
    return manifests.with_bucket(manifest, place.store.bucket)


def run_example(
    place: Place, console: Console, manifest: JSON, on_status: Callable[[JSON], None]
) -> JSON:
    """Apply an example afresh and follow it to its success; raises DemoError otherwise."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    delete_earlier_run(place, kind, name)
    delete_checkpoints(place.store, place.namespace, name)
    place.apply(manifest)
    console.say(f"applied crds/examples/{name}.yaml")
    run = follow_run(
        place, console, kind, name, deadline_seconds=DEADLINE_SECONDS[kind], on_status=on_status
    )
    status = run["status"]
    if status["phase"] != Phase.SUCCEEDED:
        raise DemoError(f"{kind}/{name} failed: {status.get('reason')}: {status.get('message')}")
    return run


def delete_earlier_run(place: Place, kind: str, name: str) -> None:
    """Delete a run, if there is one, and wait until none of its pods can save any more."""
    place.kubectl("delete", kind, name, "-n", place.namespace, "--ignore-not-found", "--wait")
    # The run is gone before its pods are. Without pods this succeeds at once.
    place.kubectl(
        "wait", "-n", place.namespace, "--for=delete", "pods", "-l", f"{LABEL_RUN}={name}",
        f"--timeout={PODS_GONE_SECONDS}s",
    )  # fmt: skip
