"""Stores: one interface over s3://, pvc://, file:// and hf://.

    store = open_store(run.checkpoints.folder, settings, field="spec.checkpoints.store")

`field` is the path of the location in the spec; messages append `.uri`, `.endpoint` or
`.credentialsSecret` to it.
"""

from trainwright_trainer.store.base import FileInfo, MissingFileError, Store, is_inside
from trainwright_trainer.store.opening import open_store

__all__ = ["FileInfo", "MissingFileError", "Store", "is_inside", "open_store"]
