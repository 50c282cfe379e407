"""Every name that more than one part must spell alike: labels, conditions, reasons, ports, paths.

Imported by the operator, the trainer, the CLI, the chart's generator and the dashboards. A name
that only one module uses need not be here.
"""

from enum import StrEnum

GROUP = "trainwright.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "trainwright"

TRAINING_RUN = "TrainingRun"
FINE_TUNE_JOB = "FineTuneJob"
PLURALS = {TRAINING_RUN: "trainingruns", FINE_TUNE_JOB: "finetunejobs"}
SHORT_NAMES = {TRAINING_RUN: "tr", FINE_TUNE_JOB: "ftj"}

FIELD_MANAGER = "trainwright-operator"

LABEL_KIND = f"{GROUP}/kind"
LABEL_RUN = f"{GROUP}/run"
LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_TEAM = f"{GROUP}/team"  # on a run, by its owner: whom its cost is counted to
LABEL_JOB_ROLE = "training.kubeflow.org/job-role"
LABEL_REPLICA_TYPE = "training.kubeflow.org/replica-type"
LABEL_REPLICA_INDEX = "training.kubeflow.org/replica-index"
LABEL_JOB_NAME = "training.kubeflow.org/job-name"

TRAINER_CONTAINER = "pytorch"
TRAINER_PORT = 8470
TRAINER_PORT_NAME = "http-trainer"
RUN_DASHBOARD_UID = "trainwright-run"  # in Grafana; a run's status leads to it
RENDEZVOUS_PORT = 23456

# Paths inside the trainer's container.
RUN_FILE = "/etc/trainwright/run.json"
RUN_FILE_KEY = "run.json"
CREDENTIALS_FOLDER = "/var/run/trainwright/credentials"
SCRATCH_FOLDER = "/scratch"
VOLUMES_FOLDER = "/volumes"  # a PVC `claim` of a pvc:// URI is mounted at VOLUMES_FOLDER/claim
TERMINATION_MESSAGE_FILE = "/dev/termination-log"

# Keys of a credentials Secret; the Secret is mounted as files below CREDENTIALS_FOLDER/<secret>/.
SECRET_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"
SECRET_SESSION_TOKEN = "AWS_SESSION_TOKEN"
SECRET_ENDPOINT_URL = "AWS_ENDPOINT_URL"
SECRET_REGION = "AWS_REGION"
SECRET_HF_TOKEN = "HF_TOKEN"
SECRET_MLFLOW_KEYS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
SECRET_WANDB_API_KEY = "WANDB_API_KEY"

# Environment that the operator gives to the trainer's container, beside Kubeflow's PET_* variables.
ENV_NODE_NAME = "TRAINWRIGHT_NODE_NAME"
ENV_POD_NAME = "TRAINWRIGHT_POD_NAME"

# Inside a run's folder of the store.
FINISHED_MODEL_FOLDER = "model"
TENSORBOARD_FOLDER = "tensorboard"
WANDB_FOLDER = "wandb"
MANIFEST_FILE = "manifest.json"
UNFINISHED_PREFIX = ".trainwright-unfinished-"  # of a file in a folder while it is written
ACTIVITY_TRAIN = "train"  # what a trainer does once it has found, or not, what to go on from


class Phase(StrEnum):
    """What `kubectl get` shows; always derived from the conditions and attempts, never stored alone."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Condition(StrEnum):
    """Types of status.conditions, each with status, reason, message and observedGeneration."""

    ACCEPTED = "Accepted"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    CHECKPOINT_READY = "CheckpointReady"
    UNDERUTILIZED = "Underutilized"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Cause(StrEnum):
    """Why an attempt ended without success; each cause has its own restart budget."""

    USER_ERROR = "UserError"
    OUT_OF_MEMORY = "OutOfMemory"
    NUMERICAL_FAILURE = "NumericalFailure"
    INFRASTRUCTURE = "Infrastructure"
    PREEMPTED = "Preempted"
    UNKNOWN = "Unknown"


WAITING_FOR_RUN = "WaitingForRun"
"""Why a run does not start whose base model or checkpoint another run has yet to make."""


class Outcome(StrEnum):
    """What the trainer says of itself in its termination message."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"
