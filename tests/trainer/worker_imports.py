"""What the processes that `ranks.fork_worker` forks have imported before: imported itself by their server only."""

from trainwright_trainer.imports import hidden, uncollected

with uncollected(), hidden("mlflow"):
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import trainwright_trainer.train  # noqa: F401
