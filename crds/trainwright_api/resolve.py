"""From a resource to the resolved run: the one place where the two kinds differ.

Called by the operator (per attempt) and by `trainwright plan` and `run --local`. Pure: references to
other runs are already looked up. What says Auto is None in the run: the pod decides it.
"""

from collections.abc import Mapping
from typing import TypeVar

from trainwright_api.checkpoints import RunReference
from trainwright_api.data import Location
from trainwright_api.names import FINISHED_MODEL_FOLDER
from trainwright_api.quantities import parse_quantity
from trainwright_api.resources import Adapter, FineTuneJob, Resource, TrainingRun
from trainwright_api.run import (
    Run,
    RunBatch,
    RunCheckpoints,
    RunData,
    RunModel,
    RunObjective,
    RunOutput,
    RunParallelism,
    RunSource,
    RunTokenizer,
    RunWorkers,
)
from trainwright_api.run_spec import RunSpec
from trainwright_api.tracking import Tracking

LocationT = TypeVar("LocationT", bound=Location)

DEFAULT_CHECKPOINT_STEPS = 500
DEFAULT_ACCELERATOR_MEMORY_GIB = 80.0


class UnresolvedReferenceError(ValueError):
    """A run that the spec refers to has no finished model or checkpoint folder yet."""

    def __init__(self, path: str, reference: RunReference, why: str) -> None:
        self.path, self.reference = path, reference
        super().__init__(f"{path}: got {reference.kind}/{reference.name}, {why}")


def run_folder(store: Location, namespace: str, name: str) -> Location:
    """Return `<store>/<namespace>/<name>/`, the folder of all that a run saves."""
    return store.model_copy(update={"uri": f"{store.uri.rstrip('/')}/{namespace}/{name}/"})


def references(resource: Resource) -> list[tuple[str, RunReference]]:
    """Return the other runs that a resource refers to, with the path of each reference."""
    spec = resource.spec
    found = []
    if spec.checkpoints.resume_from and spec.checkpoints.resume_from.run:
        found.append(("spec.checkpoints.resumeFrom.run", spec.checkpoints.resume_from.run))
    if isinstance(resource, TrainingRun) and resource.spec.model.run:
        found.append(("spec.model.run", resource.spec.model.run))
    if isinstance(resource, FineTuneJob) and resource.spec.base_model.run:
        found.append(("spec.baseModel.run", resource.spec.base_model.run))
    return found


def resolve_run(
    resource: Resource,
    *,
    attempt: int,
    models: Mapping[RunReference, Location],
    folders: Mapping[RunReference, Location],
) -> Run:
    """Return the resolved run of a valid resource.

    `models` and `folders` hold, for each reference of the resource, where its finished model is and
    where its checkpoints are, with that run's own access to its store. Raises UnresolvedReferenceError if one is missing.
    """
    spec, meta = resource.spec, resource.metadata
    namespace = meta.namespace or "default"
    folder = run_folder(spec.checkpoints.store, namespace, meta.name)
    shared = {
        "kind": resource.kind,
        "namespace": namespace,
        "name": meta.name,
        "uid": meta.uid or "",
        "attempt": attempt,
        "budget": spec.budget,
        "batch": RunBatch(
            global_sequences=spec.batch.global_sequences,
            micro_sequences=_given(spec.batch.micro_sequences),
        ),
        "optimizer": spec.optimizer,
        "schedule": spec.schedule,
        "precision": spec.precision,
        "parallelism": RunParallelism(
            zero_stage=_given(spec.parallelism.zero_stage),
            offload_optimizer=spec.parallelism.offload_optimizer,
            offload_parameters=spec.parallelism.offload_parameters,
        ),
        "activation_checkpointing": spec.activation_checkpointing,
        "workers": _resolve_workers(spec),
        "checkpoints": _resolve_checkpoints(spec, folder, folders),
        "output": RunOutput(
            uri=spec.output.uri or f"{folder.uri}{FINISHED_MODEL_FOLDER}/",
            merge=spec.output.merge,
            sample_prompts=spec.output.sample_prompts,
            sample_tokens=spec.output.sample_tokens,
        ),
        "tracking": _resolve_tracking(spec.tracking, namespace),
        "seed": spec.seed,
    }
    own = (
        _pretraining(resource, models)
        if isinstance(resource, TrainingRun)
        else _fine_tuning(resource, models)
    )
    return Run.model_validate(shared | own)


def _resolve_tracking(tracking: Tracking, namespace: str) -> Tracking:
    mlflow = tracking.mlflow
    if mlflow is None or mlflow.experiment is not None:
        return tracking
    named = mlflow.model_copy(update={"experiment": namespace})
    return tracking.model_copy(update={"mlflow": named})


def _given(value: int | str) -> int | None:
    return value if isinstance(value, int) else None


def _pretraining(
    resource: TrainingRun, models: Mapping[RunReference, Location]
) -> dict[str, object]:
    spec = resource.spec
    store = spec.checkpoints.store
    weights = spec.model.weights and _with_store_access(spec.model.weights, store)
    if spec.model.run is not None:
        weights = _finished_model("spec.model.run", spec.model.run, models)
    return {
        "objective": RunObjective(spec.objective.value),
        "model": RunModel(
            architecture=spec.model.architecture,
            config=dict(spec.model.config),
            weights=weights,
        ),
        "tokenizer": RunTokenizer(
            location=spec.tokenizer.location and _with_store_access(spec.tokenizer.location, store),
            train=spec.tokenizer.train,
        ),
        "adapter": Adapter(),
        "data": RunData(
            sources=[
                RunSource.model_validate(_with_store_access(source, store).model_dump())
                for source in spec.data.sources
            ],
            sequence_length=spec.data.sequence_length,
            packing=spec.data.packing,
            validation=spec.data.validation,
        ),
    }


def _fine_tuning(
    resource: FineTuneJob, models: Mapping[RunReference, Location]
) -> dict[str, object]:
    spec, store = resource.spec, resource.spec.checkpoints.store
    base = spec.base_model
    if base.run is not None:
        weights = _finished_model("spec.baseModel.run", base.run, models)
    else:
        given = Location(
            uri=base.uri or "",
            endpoint=base.endpoint,
            region=base.region,
            credentials_secret=base.credentials_secret,
        )
        weights = _with_store_access(given, store)
    return {
        "objective": RunObjective.SFT,
        "sft_loss": spec.method.sft and spec.method.sft.loss,
        "model": RunModel(weights=weights, gguf_file=base.gguf_file),
        "tokenizer": RunTokenizer(),
        "adapter": spec.adapter,
        "data": RunData(
            sources=[
                RunSource.model_validate(_with_store_access(source, store).model_dump())
                for source in spec.data.sources
            ],
            sequence_length=spec.data.sequence_length,
            packing=spec.data.packing,
            chat_template=spec.data.chat_template,
            validation=spec.data.validation,
        ),
    }


def _finished_model(
    path: str, reference: RunReference, models: Mapping[RunReference, Location]
) -> Location:
    if reference not in models:
        raise UnresolvedReferenceError(
            path, reference, "expected a run that has succeeded; wait for it or name another"
        )
    return models[reference]


def _with_store_access(location: LocationT, store: Location) -> LocationT:
    """Fill in how an s3:// location is reached from the checkpoint store, where it does not say so."""
    if not location.uri.startswith("s3://"):
        return location
    return location.model_copy(
        update={
            "endpoint": location.endpoint or store.endpoint,
            "region": location.region or store.region,
            "credentials_secret": location.credentials_secret or store.credentials_secret,
        }
    )


def _resolve_workers(spec: RunSpec) -> RunWorkers:
    workers = spec.workers
    uses_accelerators = workers.accelerator != "None"
    processes = (
        workers.accelerators_per_node if uses_accelerators else workers.processes_per_node or 1
    )
    if uses_accelerators:
        memory_gib: float | None = workers.accelerator_memory_gib or DEFAULT_ACCELERATOR_MEMORY_GIB
    elif "memory" in workers.resources:
        memory_gib = parse_quantity(workers.resources["memory"]) / 2**30 / processes
    else:
        memory_gib = None
    return RunWorkers(
        nodes=workers.nodes,
        processes_per_node=processes,
        uses_accelerators=uses_accelerators,
        device_memory_gib=memory_gib,
    )


def _resolve_checkpoints(
    spec: RunSpec, folder: Location, folders: Mapping[RunReference, Location]
) -> RunCheckpoints:
    checkpoints = spec.checkpoints
    every_steps = checkpoints.every_steps
    if every_steps is None and checkpoints.every_minutes is None:
        every_steps = DEFAULT_CHECKPOINT_STEPS
    resume = checkpoints.resume_from
    start = None
    if resume and resume.uri:
        start = checkpoints.store.model_copy(update={"uri": resume.uri})
    if resume and resume.run:
        if resume.run not in folders:
            raise UnresolvedReferenceError(
                "spec.checkpoints.resumeFrom.run",
                resume.run,
                "expected a run that exists; check kind and name",
            )
        start = folders[resume.run]
    return RunCheckpoints(
        folder=folder,
        every_steps=every_steps,
        every_minutes=checkpoints.every_minutes,
        keep_last=checkpoints.keep_last,
        keep_best=checkpoints.keep_best,
        resume_from=start,
        resume_from_step=resume.step if resume else None,
    )
