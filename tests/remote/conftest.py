"""Searches on other machines are run where they are asked for by their mark: `-m remote`."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "remote" not in config.option.markexpr:
        chosen = [item for item in items if item.get_closest_marker("remote") is None]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
