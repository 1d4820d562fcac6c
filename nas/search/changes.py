"""What of search.yml is no longer what a run was begun with."""

import json
from pathlib import Path

from nas.search import runs
from nas.search.config import SearchConfig


def changed_since(run: Path, config: SearchConfig) -> str:
    """A note of what of search.yml is no longer what a run was begun with; empty where all is."""
    try:
        then = json.loads((run / runs.CONFIG).read_text())
    except (OSError, ValueError):
        return ""
    now = config.prepared()
    pairs = {name: (then.get(name), now.get(name)) for name in ("trialCommand", "searchSpaceFile")}
    tuners = then.get("tuner") or {}, now.get("tuner") or {}
    pairs["classArgs"] = tuners[0].get("classArgs"), tuners[1].get("classArgs")
    changed = [name for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]]
    if not changed:
        return ""
    return (
        f"note: {', '.join(changed)} of {config.path.name} changed since this search began, which keeps its own; start "
        "another search for them"
    )
