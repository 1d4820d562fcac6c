"""A child of `simulate.py replay`: the journal of a run that ended is read, or the whole search resumed as NNI does it.

.venv/bin/python benchmarks/resuming.py read KIND FOLDER         the journal alone
.venv/bin/python benchmarks/resuming.py resume KIND FOLDER       space, journal, strategy, TensorBoard, NNI's results
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import thinking
from virtual_search import VirtualSearch

from nas.search.journal import FILE, Journal

Row = dict[str, Any]


def reading(folder: Path) -> Row:
    """How long a journal takes to be read, and what of memory it takes then."""
    path = folder / "runs" / "simulated" / FILE
    before = thinking.psutil.Process().memory_info().rss
    began = time.perf_counter()
    journal = Journal(path)
    journal.refresh()
    seconds = time.perf_counter() - began
    lines = len(journal.events)
    after = thinking.psutil.Process().memory_info().rss
    return {
        "part": "read", "seconds": round(seconds, 2), "lines": lines,
        "mb": round(path.stat().st_size / thinking.MEGA, 1), "held_mb": round((after - before) / thinking.MEGA),
        "peak_mb": round((thinking.peak() - before) / thinking.MEGA),
    }  # fmt: skip


def resuming(kind: str, folder: Path) -> Row:
    """How long the tuner takes from its start to its first proposal, in parts; on a copy."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as copy:
        there = Path(copy) / folder.name
        shutil.copytree(folder, there)
        kept = json.loads((there / "state.json").read_text())["world"]["params"]
        search = VirtualSearch(kind, kept["maxTrialNumber"], kept["trialConcurrency"], 1200.0, there)
        before = thinking.psutil.Process().memory_info().rss
        began = time.perf_counter()
        search.resume()
        started = time.perf_counter()
        held = thinking.psutil.Process().memory_info().rss
        results = search.world.ended.results()
        again = time.perf_counter()
        search.imported(results)
        imported = time.perf_counter()
        search.tuner._study.propose()
        proposed = time.perf_counter()
        row = {
            "part": "resume", "seconds": round(started - began, 2), "imported": round(imported - again, 2),
            "results": len(results), "proposed": round(proposed - imported, 2),
            "held_mb": round((held - before) / thinking.MEGA),
            "peak_mb": round((thinking.peak() - before) / thinking.MEGA),
        }  # fmt: skip
        search.tuner._on_exit()
        return row


if __name__ == "__main__":
    part, kind, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    print(json.dumps(reading(folder) if part == "read" else resuming(kind, folder)))
