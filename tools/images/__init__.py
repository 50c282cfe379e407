"""Builds the product's container images, with or without a registry.

`python -m tools.images` is what `make images` runs; the end-to-end tests and the demo import
`build_archive` and `ensure_trainer_venv` and put the result into their cluster. Everything is
kept in `$TRAINWRIGHT_CACHE/images`, named by a hash of what went in, so that what has not changed
costs nothing.
"""

from tools.images.build import Built, build_archive, build_image
from tools.images.environment import ensure_trainer_venv, trainer_venv_path

__all__ = ["Built", "build_archive", "build_image", "ensure_trainer_venv", "trainer_venv_path"]
