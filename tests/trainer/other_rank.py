"""A group for tests in one process of what only the first rank does."""

from trainwright_trainer.groups import SingleGroup


class OtherRank(SingleGroup):
    """As much of a group as a rank sees that is not the first."""

    rank = 1
