"""Searches on other machines are run where they are asked for by their mark: `-m remote`."""

import pytest

from .machines import missing


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who asks for them where they cannot run is told so by a failure: if all were skipped, that would look like none.

    Raises:
        pytest.UsageError: there.
    """
    asked = [item for item in items if item.get_closest_marker("remote") is not None]
    if asked and "remote" in config.option.markexpr:
        if reason := missing():
            raise pytest.UsageError(f"searches on other machines cannot be tried here: {reason}")
    elif asked:
        config.hook.pytest_deselected(items=asked)
        items[:] = [item for item in items if item not in asked]
