"""What is learned: one file per objective, all with the same small interface.

An objective turns model and batch into the sum of token losses. The batch's labels say how many tokens
are trained; the loop divides by their number over all ranks and accumulation steps, so that the loss
is exact whatever the layout. To add one: a file here, a member of RunObjective, a row in `_OBJECTIVES`.
"""

from trainwright_api.run import Run, RunObjective

from trainwright_trainer.objectives.base import Objective
from trainwright_trainer.objectives.causal_lm import CausalLM
from trainwright_trainer.objectives.sft import SupervisedFineTuning

_OBJECTIVES: dict[RunObjective, type[Objective]] = {
    RunObjective.CAUSAL_LM: CausalLM,
    RunObjective.SFT: SupervisedFineTuning,
}


def build_objective(run: Run) -> Objective:
    """Return the objective of a run."""
    return _OBJECTIVES[run.objective](run)


__all__ = ["Objective", "build_objective"]
