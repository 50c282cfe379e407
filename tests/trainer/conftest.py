"""The order and the patience of this tier, which runs beside the others and usually ends after them."""

import pytest

from tests.trainer.ranks import HANG_SECONDS

USE_ALL_CORES = ("test_resume", "test_loss_parity")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the end, when the machine is this tier's alone, what trains in two processes for minutes."""
    items.sort(key=place_in_order)
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANG_SECONDS))


def place_in_order(item: pytest.Item) -> int:
    """0 for most tests, whose order stays as it was; then the last modules, one after another."""
    name = item.path.stem
    return USE_ALL_CORES.index(name) + 1 if name in USE_ALL_CORES else 0
