"""What of search.yml is no longer what a run was begun with."""

import json
from pathlib import Path
from typing import Any

from nas.errors import NasError, listed
from nas.search import runs
from nas.search.config import SearchConfig
from nas.search.hosts import given_address, is_local, is_ours, places


def changed_since(run: Path, config: SearchConfig) -> str:
    """A note of what of search.yml is no longer what a run was begun with; empty where all is."""
    then, now = _begun(run), config.prepared()
    pairs = {name: (then.get(name), now.get(name)) for name in ("trialCommand", "searchSpaceFile")}
    tuners = then.get("tuner") or {}, now.get("tuner") or {}
    pairs["classArgs"] = tuners[0].get("classArgs"), tuners[1].get("classArgs")
    pairs["nniManagerIp"] = given_address(then), given_address(now)
    changed = [name for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]]
    if not changed:
        return ""
    return (
        f"note: {', '.join(changed)} of {config.path.name} changed since this search began, which keeps its own; start "
        "another search for them"
    )


def begun_at(run: Path, config: SearchConfig) -> str | None:
    """The address at which the hosts of a run report to this machine; None where there are none, or it is not known.

    Raises:
        NasError: where search.yml names other places for trials than the run was begun with, or the address is this
            machine's no longer: NNI keeps both.
    """
    then = _begun(run)
    before, now = places(then), places(config.data)
    if before and before != now:
        raise NasError(
            f"{config.path}: trainingService has {listed(now)}, and this search was begun with {listed(before)}, which "
            "NNI keeps; name them again (some may be gone), or start another search"
        )
    address = None if is_local(config.data) else given_address(then)
    if address is not None and not is_ours(address) and address != given_address(config.data):
        raise NasError(
            f"{config.path}: the hosts of this search report to {address}, which NNI keeps, and which is no address of "
            f"this machine; give it that again, or where it is reached there all the same nniManagerIp: {address}, or "
            "start another search"
        )
    return address


def _begun(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / runs.CONFIG).read_text())
    except (OSError, ValueError):
        return {}
