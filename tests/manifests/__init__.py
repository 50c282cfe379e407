"""One table of good and bad manifests, for the CLI's checks and for a real API server alike."""

from tests.manifests.bad_fields import BAD_FIELDS
from tests.manifests.bad_rules import BAD_RULES
from tests.manifests.bad_storage import BAD_STORAGE
from tests.manifests.bad_workers import BAD_WORKERS
from tests.manifests.build import Bad, Good, Update
from tests.manifests.good import GOOD
from tests.manifests.updates import UPDATES

BAD = (*BAD_FIELDS, *BAD_RULES, *BAD_STORAGE, *BAD_WORKERS)

__all__ = ["BAD", "GOOD", "UPDATES", "Bad", "Good", "Update"]
