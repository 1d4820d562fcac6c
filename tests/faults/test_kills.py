"""kill -9 at random moments, of each of a search's processes: `make faults` tries KILLS of them."""

import json
import os
import random
from pathlib import Path

import pytest

from .harness import TARGETS, TRIALS, Disturbed, Told, by_nas, by_nnictl

pytestmark = pytest.mark.faults

KILLS, EACH = int(os.environ.get("KILLS", "20")), int(os.environ.get("EACH", "5"))
"""kill -9 in all, and in one search."""
KILLED = tuple(os.environ.get("KILLED", "").split()) or TARGETS
"""What is killed, such as KILLED="warm trial"."""
FIRST = int(os.environ.get("FIRST_SEED", "0"))
ROWS = os.environ.get("ROWS")
"""A file that gets a line for each search."""
WAYS = {"nas search": by_nas, "nnictl": by_nnictl}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What a search gives that nothing disturbs."""
    search = Disturbed(tmp_path_factory.mktemp("undisturbed") / "search", 18600)
    try:
        assert search.nas("--port", search.port).wait(300) == 0
        result = search.result()
    finally:
        search.sweep()
    assert len(result) == TRIALS
    return result


@pytest.mark.parametrize("seed", range(FIRST, FIRST + -(-KILLS // EACH)))
def test_killed_at_random_moments_it_goes_on_as_if_nothing_had_happened(
    seed: int, undisturbed: Told, tmp_path: Path
):
    way = list(WAYS)[seed % 2]
    search = Disturbed(tmp_path / "search", 18610 + 10 * (seed % 40))
    row = {"fault": "kill -9", "way": way, "warm": True, "seed": seed, "killed": [], "survived": False}
    try:
        row["killed"] = WAYS[way](search, random.Random(seed), EACH, KILLED)
        assert search.result() == undisturbed
        row["survived"] = True
    finally:
        row["trials"] = search.told()
        search.sweep()
        if ROWS:
            with Path(ROWS).open("a") as file:
                file.write(json.dumps(row) + "\n")
