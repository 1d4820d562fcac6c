"""Claim: the model-guided strategy finds the best of 3,969 trained networks in 22 evaluations with the
soft reward and in 27 with the hard one (means of 30 seeds); the best peers measured need 36 and 307.

    .venv/bin/python benchmarks/sample_efficiency.py --table PATH --strategies all --settings main --jobs 2
    .venv/bin/python benchmarks/sample_efficiency.py --report

A trial costs minutes to hours, so a strategy is judged by how many it needs. PATH is NAS-Bench-Macro's
JSON as its authors publish it; the spaces that are made up need no table. Counted are distinct
networks until the best of all was evaluated: who asks a copy or a repeat gets the recorded answer,
free. Who does not find the best counts the whole budget. With noise, and where nobody knows the best,
the incumbent (the network of the best observed reward) is judged after 50 and 100 evaluations by its
true reward. `--list` names settings, strategies and groups; a run goes on where it was interrupted,
for rows that are there are not measured again.

Needs the extra `bench` (optuna) for some peers; what is missing is reported as missing.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, here and in the workers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import multiprocessing
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import macro_table
import peers
import problems
import rows
import summary
from counting import CHECKPOINTS, Run

OUT = Path(__file__).parent / "results" / "sample_efficiency"
Task = tuple[str, str, int]


@cache
def table_of(path: str | None) -> macro_table.MacroTable | None:
    return None if path is None else macro_table.read(path)


def measure(task: Task, budget: int, table: str | None) -> rows.Row:
    """The row of one strategy, setting and seed."""
    strategy, setting, seed = task
    kind = peers.known()[strategy]
    problem = problems.problem(setting, seed, table_of(table))
    most = min(budget, kind.slow or budget) if problem.stop else min(budget, CHECKPOINTS[-1])
    asked = kind(problem, seed)
    try:
        outcome = Run(asked, problem, most, kind.asks).run()
    finally:
        asked.close()
    kind_of_measure = "evaluations" if problem.stop else "regret" if problem.best is not None else "reward"
    return {
        "strategy": strategy,
        "setting": setting,
        "seed": seed,
        "budget": budget,
        "cap": most if problem.stop and most < budget else None,
        "measure": kind_of_measure,
        **rows.measured(outcome, problem.best),
        "versions": peers.versions(kind),
        "code": rows.code() if issubclass(kind, peers.Ours) else None,
        **rows.facts(),
    }


def attempt(task: Task, budget: int, table: str | None) -> rows.Row | str:
    """The row, or what went wrong."""
    try:
        return measure(task, budget, table)
    except Exception:
        return f"{' '.join(map(str, task))}: {traceback.format_exc()}"


def results(tasks: list[Task], budget: int, table: str | None, jobs: int) -> Iterator[rows.Row | str]:
    """What came of each task, in order, as soon as it is there."""
    work = partial(attempt, budget=budget, table=table)
    if jobs == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, tasks)


def seeds_of(text: str) -> list[int]:
    """'30' is 0 to 29, '100-129' are those.

    >>> seeds_of("2"), seeds_of("7-9")
    ([0, 1], [7, 8, 9])
    """
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last.isdigit() or not last)):
        raise argparse.ArgumentTypeError(
            f"is {text!r}; give how many, such as 30, or FIRST-LAST, such as 100-129"
        )
    return list(range(int(first), int(last) + 1)) if last else list(range(int(first)))


def strategies_of(text: str) -> list[str]:
    """The strategies of a comma-separated list of names and groups, each once.

    Raises:
        ValueError: for a name that is none.
    """
    ours = list(peers.ours())
    groups = {"ours": ours, "peers": [*peers.PEERS], "all": [*ours, *peers.PEERS]}
    found: list[str] = []
    for name in text.split(","):
        if name not in groups and name not in groups["all"]:
            raise ValueError(f"strategy {name!r} is none of {', '.join([*groups, *groups['all']])}")
        found += [strategy for strategy in groups.get(name, [name]) if strategy not in found]
    return found


def plan(options: argparse.Namespace, strategies: list[str], settings: list[str]) -> list[Task]:
    """What is left to do; says in a row what cannot be done."""
    tasks: list[Task] = []
    for setting in settings:
        in_flight = problems.IN_FLIGHT if "flight" in problems.parts(setting)[1] else 1
        for strategy in strategies:
            reason = peers.unfit(peers.known()[strategy], in_flight)
            if reason is None:
                left = rows.missing(options.out, strategy, setting, options.seeds, options.budget)
                tasks += [(strategy, setting, seed) for seed in left]
            elif not rows.read(rows.path(options.out, setting, strategy)):
                absent = {"strategy": strategy, "setting": setting, "seed": None, "unavailable": reason}
                rows.append(options.out, absent | {"budget": options.budget})
    return tasks


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--table", help="NAS-Bench-Macro's JSON")
    options.add_argument("--strategies", default="all", help="names, or ours, peers, all; by commas")
    options.add_argument("--settings", default="main", help="names or groups, by commas")
    options.add_argument("--seeds", type=seeds_of, default=seeds_of("30"), help="how many, or FIRST-LAST")
    options.add_argument("--budget", type=int, default=1000, help="evaluations before a run has failed")
    options.add_argument("--out", type=Path, default=OUT, help="where the rows are")
    options.add_argument("--jobs", type=int, default=1, help="processes")
    options.add_argument(
        "--report", action="store_true", help="print the tables of all rows, measure nothing"
    )
    options.add_argument("--list", action="store_true", help="print settings, strategies and groups")
    return options


def main() -> int:
    parse = parser()
    options = parse.parse_args()
    notes = {name: kind.note for name, kind in peers.known().items()}
    if options.report:
        print(summary.report(rows.read_all(options.out), notes))
        return 0
    if options.list:
        print(problems.__doc__, *(f"{name}: {', '.join(g)}" for name, g in problems.GROUPS.items()), sep="\n")
        print("strategies:", ", ".join(notes))
        return 0
    try:
        settings, strategies = problems.expand(options.settings), strategies_of(options.strategies)
        if options.table is None and any(problems.parts(s)[0] in problems.REWARDS for s in settings):
            raise ValueError("--table PATH is missing: NAS-Bench-Macro's JSON; settings synthetic need none")
        if options.budget < 1 or options.jobs < 1 or not options.seeds:
            raise ValueError("--budget, --jobs and --seeds want numbers from 1")
        table_of(options.table)
        options.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        parse.error(str(error))
    tasks = plan(options, strategies, settings)
    failed = 0
    for number, result in enumerate(results(tasks, options.budget, options.table, options.jobs), start=1):
        if isinstance(result, str):
            failed += 1
            print(result, file=sys.stderr, flush=True)
            continue
        rows.append(options.out, result)
        value = result["evaluations"] if result["measure"] == "evaluations" else result[result["measure"]]
        where = f"{result['setting']} {result['strategy']} seed {result['seed']}"
        print(f"{number}/{len(tasks)} {where}: {value}, {result['seconds']} s", flush=True)
    wanted = [row for s in settings for n in strategies for row in rows.read(rows.path(options.out, s, n))]
    print(summary.report(wanted, notes))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
