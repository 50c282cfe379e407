"""The planner's only exception, in the form of every user error: `path: got X, expected Y; remedy`."""


class PlanError(ValueError):
    """A run that no layout can satisfy, or a model config that makes no model; the user must act."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}")
