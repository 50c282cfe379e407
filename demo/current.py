"""The demo's start on the cluster that kubectl points at: what it would change there, and whether it may.

That cluster is somebody's. So before anything is touched, the question names the context, the Helm
release, the Secret, the runs and the checkpoints that are there already, and what goes into the store;
then `demo.story` goes on.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence

from trainwright_api.names import FINE_TUNE_JOB, GROUP, PLURALS, TRAINING_RUN

from demo import manifests
from demo.console import Console
from demo.data import CHAT, MODEL, STDLIB
from demo.errors import DemoError, DemoStoppedError
from demo.install import (
    RELEASE,
    SECRET,
    SYSTEM_NAMESPACE,
    Images,
    ensure_namespace,
    find_checkpoints,
    has_checkpoints,
)
from demo.monitoring import use_prometheus
from demo.place import JSON, Place, Store
from demo.settings import Settings
from demo.story import run_story
from tests.cluster.start import find_kubectl
from tools.images.build import build_image
from tools.images.specs import IMAGES

RUNS = ((TRAINING_RUN, manifests.PRETRAINING), (FINE_TUNE_JOB, manifests.FINE_TUNING))
_RUNS = f"trainingrun/{manifests.PRETRAINING} finetunejob/{manifests.FINE_TUNING}"


def run_on_current_cluster(settings: Settings, console: Console) -> int:
    """The demo on the cluster that kubectl points at, after asking."""
    context = current_context()
    check_current_settings(settings)
    place = Place(
        f"context {context!r}", settings.namespace, build_store(settings), context=context
    )
    try:
        agree(place, context, settings, console)
    except KeyboardInterrupt as stop:
        raise DemoStoppedError("stopped; nothing was touched") from stop
    try:
        return run_agreed(place, context, settings, console)
    except KeyboardInterrupt as stop:
        # With its context: another one may be the current one by now.
        command = f"{kubectl_for(context, settings)} delete --ignore-not-found {_RUNS}"
        raise DemoStoppedError(
            f"stopped; a run that it has applied goes on (`{command}` ends it)"
        ) from stop


def build_store(settings: Settings) -> Store:
    """The S3 store that the settings name."""
    return Store(
        settings.s3_endpoint,
        settings.s3_endpoint_of_pods,
        settings.access_key,
        settings.secret_key,
        settings.region,
        settings.bucket,
        settings.session_token,
    )


def agree(place: Place, context: str, settings: Settings, console: Console) -> None:
    """Say what will be changed and go on if the person agrees; raises DemoError otherwise."""
    store = place.store
    console.say(f"cluster: kubectl's context {context!r}, namespace {settings.namespace!r}")
    console.say(f"store: {store.endpoint or 'AWS'}, images: {settings.registry}")
    plan = describe_plan(context, settings.namespace, list(find_changes(place, settings)))
    if settings.is_agreed:
        console.show(plan)
    elif not ask(plan):
        raise DemoError("nothing was touched")


def run_agreed(place: Place, context: str, settings: Settings, console: Console) -> int:
    """Build and push the images, then all that is the same on every cluster."""
    ensure_namespace(place)
    with console.stage("Build and push the images"):
        images = push_images(settings, console)
    kubectl = kubectl_for(context, settings)
    next_steps = (
        "Your cluster keeps the chart and both runs:\n"
        f"  {kubectl} get trainwright\n"
        f"  {kubectl} delete {_RUNS}\n"
        f"  helm --kube-context {shlex.quote(context)} -n {SYSTEM_NAMESPACE} uninstall {RELEASE}"
    )
    monitoring = use_prometheus(settings.prometheus_url)
    return run_story(place, images, settings, console, next_steps, monitoring)


def kubectl_for(context: str, settings: Settings) -> str:
    """How a person types kubectl for this cluster and namespace."""
    return f"kubectl --context {shlex.quote(context)} -n {settings.namespace}"


def current_context() -> str:
    """The name of kubectl's context; raises DemoError if there is none."""
    done = subprocess.run(
        [find_kubectl(), "config", "current-context"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError("CLUSTER=current: kubectl has no current context; set KUBECONFIG")
    return done.stdout.strip()


def check_current_settings(settings: Settings) -> None:
    """Raise DemoError for what the demo cannot guess on a foreign cluster, and for what is no URL."""
    if not settings.registry:
        raise DemoError("REGISTRY: not given; name one that your nodes pull from")
    if not (settings.access_key and settings.secret_key):
        raise DemoError(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: not given; the demo needs an S3 store that "
            "pods and this machine reach (AWS_ENDPOINT_URL if it is not AWS, S3_BUCKET for one of yours)"
        )
    for name, url in (
        ("AWS_ENDPOINT_URL", settings.s3_endpoint),
        ("S3_ENDPOINT", settings.s3_endpoint_of_pods),
        ("PROMETHEUS_URL", settings.prometheus_url),
    ):
        if url and not url.startswith(("http://", "https://")):
            raise DemoError(
                f"{name}: got {url!r}, expected a URL such as http://minio.example:9000"
            )


def find_changes(place: Place, settings: Settings) -> Iterator[str]:
    """What the demo would create for itself, and what is there already that it would replace."""
    if not _find(place, place.namespace, "namespace", place.namespace):
        yield f"create namespace {place.namespace}"
    yield from _find_release(place)
    if _find(place, place.namespace, "secret", SECRET):
        yield f"overwrite Secret {place.namespace}/{SECRET}"
    for kind, name in RUNS if settings.fine_tunes else RUNS[:1]:
        plural = f"{PLURALS[kind]}.{GROUP}"
        is_defined = _find(place, place.namespace, "crd", plural)
        found = _find(place, place.namespace, plural, name) if is_defined else {}
        if found:
            phase = found.get("status", {}).get("phase", "not seen by an operator yet")
            yield f"delete {kind} {place.namespace}/{name} ({phase}) and train it afresh"
        if has_checkpoints(place.store, place.namespace, name):
            bucket, prefix = find_checkpoints(place.store, place.namespace, name)
            yield f"delete the checkpoints below s3://{bucket}/{prefix}"
    root = f"s3://{place.store.bucket}/" if place.store.bucket else "s3://"
    for folder in (STDLIB, CHAT, MODEL):
        yield f"upload example files below {root}{folder}/, replacing objects of the same names"


def _find_release(place: Place) -> Iterator[str]:
    # Helm keeps a revision a Secret, or a ConfigMap if HELM_DRIVER says so.
    selector = f"--selector=owner=helm,name={RELEASE}"
    what = ("secrets,configmaps", "-n", SYSTEM_NAMESPACE, selector, "-o", "json")
    revisions = [
        int(item["metadata"]["labels"].get("version", 0))
        for item in json.loads(place.kubectl("get", *what))["items"]
    ]
    if revisions:
        yield (
            f"upgrade Helm release {SYSTEM_NAMESPACE}/{RELEASE} (revision {max(revisions)}), "
            "keeping its values but for the images"
        )


def _find(place: Place, namespace: str, resource: str, name: str) -> JSON:
    """An object, or {} if there is none."""
    options = ("-n", namespace, "--ignore-not-found", "-o", "json")
    found: JSON = json.loads(place.kubectl("get", resource, name, *options) or "{}")
    return found


def describe_plan(context: str, namespace: str, changes: Sequence[str]) -> str:
    """What the demo is about to do, and to which cluster; the same text for the same cluster."""
    title = (
        f"On the cluster of kubectl's context {context!r} the demo installs Trainwright and trains two "
        f"models in namespace {namespace!r}."
    )
    return "\n  - ".join([f"{title} It will", *changes])


def ask(plan: str) -> bool:
    """Whether the person agrees to the plan; without a terminal nobody can."""
    if not sys.stdin.isatty():
        raise DemoError(f"{plan}\nThere is nobody to ask; say YES=1 to agree. Nothing was touched.")
    try:
        return input(f"{plan}\nGo on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl+D
        return False


def push_images(settings: Settings, console: Console) -> Images:
    """Both images in the registry: those that are there already, or built and pushed now."""
    names = []
    for image, given in (
        ("operator", settings.operator_image),
        ("trainer", settings.trainer_image),
    ):
        if not given:
            # A tag of its content: nodes keep an image of a name that they have pulled once.
            given = f"trainwright-{image}:demo-{IMAGES[image].version('')}"
            build_image(image, None, f"{settings.registry}/{given}", push=True)
        console.say(f"{image}: {settings.registry}/{given}")
        names.append(given)
    return Images(settings.registry, *names)
