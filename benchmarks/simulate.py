"""Claim: see what `report` prints; whether one machine that types `nas search` can keep 64 and 1,000 workers busy.

    .venv/bin/python benchmarks/simulate.py manager --work DIR          NNI's own manager, with 100,000 jobs: 10 minutes
    .venv/bin/python benchmarks/simulate.py run model --work DIR        8,000 trials on 64 workers: an hour
    .venv/bin/python benchmarks/simulate.py run evolution --work DIR    100,000 trials on 1,000 workers: half an hour
    .venv/bin/python benchmarks/simulate.py replay --work DIR           resumes both once more: some minutes
    .venv/bin/python benchmarks/simulate.py sweep --work DIR            shorter and shorter trials: an hour
    .venv/bin/python benchmarks/simulate.py pictures                    docs/images/scale.png
    .venv/bin/python benchmarks/simulate.py report                      the tables of docs/scale.md, from rows alone

Times are estimates for an idle machine of two cores; run it on one, for what the tuner takes of real time passes on
the virtual clock. DIR takes 1 GB of an SSD: every line of a journal is synced to it. Each twentieth of a `run` is a row
of results/scale/; `run` with the same DIR goes on after the last one, and the others begin with what has no row yet.
With --trials, --workers or --mean a run is a trial run, whose rows stay in DIR.

A world is in `virtual_nni.py`, its trials in `weather.py`, a search in `virtual_search.py`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import manager_list
import scale_report
from scale_rows import FULL, HERE, MEAN, RESULTS, STAGES, SWEEP, append, read, swept

Row = dict[str, Any]


def run(kind: str, work: Path, trials: int, workers: int, mean: float, parts: int) -> None:
    """A search, its rows as they come; of a full one into the results."""
    from virtual_search import VirtualSearch

    full = (trials, workers, mean, parts) == (*FULL[kind], MEAN, STAGES)
    folder = work / f"{kind}-{trials}-{workers}-{mean:g}"
    search = VirtualSearch(kind, trials, workers, mean, folder, stages=parts)
    if full and not search.begun:
        (RESULTS / f"run.{kind}.jsonl").unlink(missing_ok=True)
    for row in search.rows():
        print(json.dumps(row), flush=True)
        if full:
            append(f"run.{kind}", row)


def replay(work: Path) -> None:
    """Reading the journal of each full run, and resuming it, in a process each."""
    done = {(row["search"], row["part"]) for row in read("replay")}
    for kind, (trials, workers) in FULL.items():
        folder = work / f"{kind}-{trials}-{workers}-{MEAN:g}"
        if not (folder / "state.json").exists():
            print(f"{folder}: there is no such run", file=sys.stderr)
            continue
        for part in [part for part in ("read", "resume") if (kind, part) not in done]:
            command = [sys.executable, str(HERE / "resuming.py"), part, kind, str(folder)]
            child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            append("replay", json.loads(child.stdout.splitlines()[-1]) | {"search": kind, "trials": trials})


def sweep(work: Path) -> None:
    """Shorter and shorter trials, in a process each; what has a row is not run again."""
    for kind, workers, trials, mean in SWEEP:
        if (kind, workers, mean) in swept():
            continue
        words = ["run", kind, "--work", str(work), "--trials", trials, "--workers", workers, "--mean", mean]
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
        )
        append("sweep", json.loads(done.stdout.splitlines()[-1]))


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
        trials, workers = FULL[given.kind]
        run(given.kind, work, given.trials or trials, given.workers or workers, given.mean, given.stages)
    elif given.part == "manager":
        for row in manager_list.rows(work):
            append("manager", row)
    else:
        {"replay": replay, "sweep": sweep}[given.part](work)


if __name__ == "__main__":
    main()
