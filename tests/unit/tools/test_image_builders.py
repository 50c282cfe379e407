"""The images' private store on a machine that has built nothing yet."""

from pathlib import Path

from tools.images.builders import Builder, empty_private_store_if_large


def test_a_store_without_layers_is_not_large(tmp_path: Path) -> None:
    settings = tmp_path / "storage.conf"
    settings.touch()
    builder = Builder("false", {"CONTAINERS_STORAGE_CONF": str(settings)})
    empty_private_store_if_large(builder)
    (tmp_path / "graph").mkdir()
    empty_private_store_if_large(builder)
