"""Everything the trainer reads from its environment; no other module does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainwright_api import names, otlp


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders, addresses and the place of this process among the ranks."""

    credentials_folder: Path = Path(names.CREDENTIALS_FOLDER)
    """Mounted Secrets, one folder each."""
    volumes_folder: Path = Path(names.VOLUMES_FOLDER)
    """Mounted PersistentVolumeClaims, one folder each."""
    scratch_folder: Path = Path(names.SCRATCH_FOLDER)
    """Node-local space that may vanish with the pod."""
    termination_file: Path = Path(names.TERMINATION_MESSAGE_FILE)
    """Where the kubelet looks for the last words of the container."""
    port: int = names.TRAINER_PORT
    """Port of /status, /metrics, /history and /healthz."""
    node_name: str | None = None
    """Name of the Kubernetes node; None outside a cluster."""
    pod_name: str | None = None
    """Name of the pod; None outside a cluster."""
    node_rank: int = 0
    """Number of this pod among the run's pods."""
    master_address: str = "127.0.0.1"
    """Host of rank 0."""
    master_port: int = names.RENDEZVOUS_PORT
    """Port on which ranks find each other; launchers watch each other on the next one."""
    peer_silence_seconds: float = 30.0
    """How long the launcher of another pod may say nothing before it counts as lost."""
    rank: int = 0
    """Number of this process among all; set by the launcher."""
    local_rank: int = 0
    """Number of this process in its pod; set by the launcher."""
    world_size: int = 1
    """Processes in all; set by the launcher."""
    visible_devices: str = ""
    """GPUs that a device plugin gave this pod (NVIDIA_VISIBLE_DEVICES); empty where none did."""
    exports_otlp: bool = False
    """Whether metrics are sent by OTLP (OTEL_EXPORTER_OTLP_ENDPOINT)."""
    otlp_interval_seconds: float = otlp.DEFAULT_INTERVAL_SECONDS
    """Time between two exports (OTEL_METRIC_EXPORT_INTERVAL)."""
    num_threads: int | None = None
    """Threads of a rank's computations (OMP_NUM_THREADS); None: the launcher divides the cores."""

    @property
    def has_given_devices(self) -> bool:
        """Whether the pod was given GPUs of its own; `all` and the like come with an image instead."""
        return self.visible_devices not in ("", "all", "none", "void")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process.

    TRAINWRIGHT_* override the paths of the container, for runs outside a cluster. The address of
    rank 0 and the number of the pod come from Kubeflow (MASTER_ADDR, MASTER_PORT, PET_NODE_RANK).
    """

    def path(name: str, default: str) -> Path:
        return Path(environment.get(f"TRAINWRIGHT_{name}", default))

    threads = environment.get("OMP_NUM_THREADS")
    return Settings(
        credentials_folder=path("CREDENTIALS_FOLDER", names.CREDENTIALS_FOLDER),
        volumes_folder=path("VOLUMES_FOLDER", names.VOLUMES_FOLDER),
        scratch_folder=path("SCRATCH_FOLDER", names.SCRATCH_FOLDER),
        termination_file=path("TERMINATION_FILE", names.TERMINATION_MESSAGE_FILE),
        port=int(environment.get("TRAINWRIGHT_PORT", names.TRAINER_PORT)),
        node_name=environment.get(names.ENV_NODE_NAME) or None,
        pod_name=environment.get(names.ENV_POD_NAME) or None,
        node_rank=int(environment.get("PET_NODE_RANK", 0)),
        master_address=environment.get("MASTER_ADDR", "127.0.0.1"),
        master_port=int(environment.get("MASTER_PORT", names.RENDEZVOUS_PORT)),
        peer_silence_seconds=float(environment.get("TRAINWRIGHT_PEER_SILENCE_SECONDS", 30.0)),
        rank=int(environment.get("TRAINWRIGHT_RANK", 0)),
        local_rank=int(environment.get("TRAINWRIGHT_LOCAL_RANK", 0)),
        world_size=int(environment.get("TRAINWRIGHT_WORLD_SIZE", 1)),
        visible_devices=environment.get("NVIDIA_VISIBLE_DEVICES", ""),
        exports_otlp=otlp.reads_endpoint(environment),
        otlp_interval_seconds=otlp.read_interval_seconds(environment),
        num_threads=int(threads) if threads else None,
    )


def tell_libraries(variables: Mapping[str, str]) -> None:
    """Set variables that libraries read, in this process only."""
    os.environ.update(variables)


def build_rank_environment(
    settings: Settings,
    *,
    rank: int,
    local_rank: int,
    world_size: int,
    num_threads: int,
    device: str = "cpu",
) -> dict[str, str]:
    """Return the environment of one rank's process: this process' own, its place, its device (cpu or cuda)."""
    return {
        # What a user says about trackers' clients goes before this: a server that is gone is found out soon.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_ERROR_REPORTING": "false",
        **os.environ,
        "TRAINWRIGHT_RANK": str(rank),
        "TRAINWRIGHT_LOCAL_RANK": str(local_rank),
        "TRAINWRIGHT_WORLD_SIZE": str(world_size),
        # DeepSpeed and torch read these themselves.
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_SIZE": str(world_size),
        "MASTER_ADDR": settings.master_address,
        "MASTER_PORT": str(settings.master_port),
        "OMP_NUM_THREADS": str(num_threads),
        "DS_ACCELERATOR": device,
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        # Compiled code of libraries goes where this user may write, and nowhere that others share.
        "TORCH_EXTENSIONS_DIR": str(settings.scratch_folder / "torch_extensions"),
        "TRITON_CACHE_DIR": str(settings.scratch_folder / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(settings.scratch_folder / "inductor"),
    }
