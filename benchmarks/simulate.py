"""Claim: one machine that types `nas search` keeps 64 and 1,000 workers busy for 99.9 % of their time; see `report`.

    .venv/bin/python benchmarks/simulate.py manager --work DIR          NNI's own manager: 12 minutes; first
    .venv/bin/python benchmarks/simulate.py run model --work DIR        8,000 trials on 64 workers: 40 minutes
    .venv/bin/python benchmarks/simulate.py run evolution --work DIR    100,000 trials on 1,000 workers: 30 minutes
    .venv/bin/python benchmarks/simulate.py replay --work DIR           resumes both once more: some minutes
    .venv/bin/python benchmarks/simulate.py sweep --work DIR            shorter and shorter trials: 40 minutes
    .venv/bin/python benchmarks/simulate.py pictures                    docs/images/scale.png
    .venv/bin/python benchmarks/simulate.py report                      the tables of docs/scale.md, from rows alone

Times are estimates, of an idle core each; nothing else may want it, for what the tuner takes of real time passes on the
virtual clock. `manager` wants an idle machine. DIR takes 1 GB of an SSD: every line of a journal is synced to it. Each
twentieth of a `run` is a row of DIR and of results/scale/; `run` with the same DIR goes on after the last one, and the
others begin with what has no row yet. Rows of other code are left out, and a run that it began is refused.
With --trials, --workers or --mean a run is a trial run, whose rows stay in DIR.

A world is in `virtual_nni.py`, what its manager takes in `virtual_costs.py`, its trials in `weather.py`, a search in
`virtual_search.py`; `manager_list.py` and `manager_submit.py` measure NNI's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import manager_list
import manager_submit
import rows
import scale_report
from scale_rows import FULL, HERE, MEAN, ROWS, STAGES, SWEEP, append, code, current, fill, stamped, swept

Row = dict[str, Any]


def folder(work: Path, kind: str, trials: int, workers: int, mean: float) -> Path:
    """Of one search."""
    return work / f"{kind}-{trials}-{workers}-{mean:g}"


def run(kind: str, work: Path, trials: int, workers: int, mean: float, parts: int, since: int | None) -> None:
    """A search, its rows as they come; of a full one into the results.

    Raises:
        SystemExit: where other code began it.
    """
    from virtual_search import VirtualSearch

    full = (trials, workers, mean, parts) == (*FULL[kind], MEAN, STAGES)
    there = folder(work, kind, trials, workers, mean)
    search = VirtualSearch(kind, trials, workers, mean, there, stages=parts, since=since)
    if search.begun:
        if {row["code"] for row in rows.lines(there / ROWS)} != {code()}:
            raise SystemExit(f"{there}: other code began this run; remove the folder to begin anew")
        if full:
            fill(kind, there)
    for row in search.rows():
        print(json.dumps(row), flush=True)
        if full:
            fill(kind, there)


def replay(work: Path) -> None:
    """Reading the journal of each full run, and resuming it, in a process each."""
    done = {(row["search"], row["part"]) for row in current("replay", code())}
    for kind, (trials, workers) in FULL.items():
        there = folder(work, kind, trials, workers, MEAN)
        if not (there / "state.json").exists():
            print(f"{there}: there is no such run", file=sys.stderr)
            continue
        for part in [part for part in ("read", "resume") if (kind, part) not in done]:
            command = [sys.executable, str(HERE / "resuming.py"), part, kind, str(there)]
            child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(child.stdout.splitlines()[-1])
            append("replay", stamped(found | {"search": kind, "trials": trials}))


def sweep(work: Path) -> None:
    """Shorter and shorter trials, in a process each; what has a row of this code is not run again."""
    for kind, workers, trials, since, mean in SWEEP:
        if (kind, mean) in swept(code()):
            continue
        there = folder(work / "sweep", kind, trials, workers, mean)
        if {row["code"] for row in rows.lines(there / ROWS)} - {code()}:
            shutil.rmtree(there)
        words = ["run", kind, "--work", work / "sweep", "--trials", trials, "--workers", workers]
        words += ["--mean", mean, "--since", since]
        subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
        append("sweep", rows.lines(there / ROWS)[-1])


def manager(work: Path) -> None:
    """NNI's own manager: how long it takes to begin and end a trial, and to list its jobs."""
    append("manager.submit", manager_submit.row(work) | rows.facts())
    for row in manager_list.rows(work):
        append("manager", row | rows.facts())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("manager", "run", "replay", "sweep", "pictures", "report"))
    parser.add_argument("kind", nargs="?", choices=tuple(FULL), default="model")
    parser.add_argument("--work", type=Path, help="folder of journals and states")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--mean", type=float, default=MEAN, help="seconds of a trial")
    parser.add_argument("--stages", type=int, default=STAGES, help="rows of a run")
    parser.add_argument("--since", type=int, help="trials that a run leaves out of its steady share")
    given = parser.parse_args()
    if given.part == "report":
        print(scale_report.report())
        return
    if given.part == "pictures":
        scale_report.pictures()
        return
    if given.work is None:
        parser.error("give --work DIR")
    work = given.work.absolute()
    if given.part == "run":
        trials, workers = given.trials or FULL[given.kind][0], given.workers or FULL[given.kind][1]
        run(given.kind, work, trials, workers, given.mean, given.stages, given.since)
    else:
        {"replay": replay, "sweep": sweep, "manager": manager}[given.part](work)


if __name__ == "__main__":
    main()
