"""Whether the trackers that a run asks for can be used; called before weights are loaded.

TensorBoard's writer belongs to the trainer; the others are extras of the distribution, imported here
only for runs that ask for them.
"""

import importlib

from trainwright_api.names import SECRET_WANDB_API_KEY
from trainwright_api.run import Run

from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.tracking.secrets import has_secret, read_secret

REMEDY = (
    "use an image built with --build-arg LOCK=trackers (on a laptop: pip install '.[trainer,{}]' in Trainwright's "
    "source)"
)


def check_trackers(run: Run, settings: Settings) -> None:
    """Raise UserError if a tracker that the run asks for is not installed or has no key to it."""
    if run.tracking.mlflow is not None:
        _import("mlflow", "spec.tracking.mlflow")
    wandb = run.tracking.wandb
    if wandb is not None:
        _import("wandb", "spec.tracking.wandb")
        secret = wandb.credentials_secret
        folder = settings.credentials_folder
        if has_secret(folder, secret) and not read_secret(folder, secret, SECRET_WANDB_API_KEY):
            raise UserError(
                f"spec.tracking.wandb.credentialsSecret: got {secret} without WANDB_API_KEY, expected it with "
                "that key; add it to the Secret"
            )


def _import(module: str, field: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{field}: got an environment without {module} ({str(error)[:200]}), expected it installed; "
            f"{REMEDY.format(module)}, or remove the field"
        ) from error
