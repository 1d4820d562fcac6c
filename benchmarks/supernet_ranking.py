"""Claim: after 12 epochs a supernet does not rank networks as training each of them alone would; CIFAR-10, two cores.

    .venv/bin/python benchmarks/supernet_ranking.py networks
    .venv/bin/python benchmarks/supernet_ranking.py alone    --data cifar10.npz --work WORK --jobs 2
    .venv/bin/python benchmarks/supernet_ranking.py supernet --data cifar10.npz --work WORK --variant NAME
    .venv/bin/python benchmarks/supernet_ranking.py shared   --data cifar10.npz --work WORK --variant NAME [--fresh]
    .venv/bin/python benchmarks/supernet_ranking.py ops      --data cifar10.npz --work WORK --variant NAME
    .venv/bin/python benchmarks/supernet_ranking.py known    --data cifar10.npz --work WORK --variant NAME
    .venv/bin/python benchmarks/supernet_ranking.py report [--from benchmarks/results/supernet]

Protocol, written before any of it was run (and amended before: seeds, failures, figures of two seeds, CPU time):

- Data: 10,000 of CIFAR-10's training images train (stratified), 5,000 others are `val`, on which every accuracy here
  is. The test images are not used.
- Networks of the space `cifar`, of at most 10M multiply-adds: 12 to tune the supernet's recipe on (seed 1), and 36
  fresh ones, 24 of them within 5 % of 6M (seed 2) and 12 of any cost (seed 3), whose accuracies with shared weights
  are looked at once, with the variant that is `CHOSEN` by the 12 alone.
- The truth: each network alone from scratch, recipe `cifar`, 8 epochs, batches of 64, seeds 0 and 1.
- The supernet: 12 epochs over the same 10,000 images, in one of `VARIANTS`; all of them are reported with what
  they gave on the 12.
- Amended once `base`, `labels`, `attentive` and `more-between` were seen on the 12, and nothing else: the variants from
  `drawn` on. In the first ones a step's smallest and largest network are the space's (`fixed`), whose ops are the same
  in every step; networks of other ops were 8 to 16 points worse for one op. In `drawn` they have ops and skips that are
  drawn. Since that learnt slowly, labels, learning rate, batches and number of networks were then tried in trainings
  of 2 epochs (11 of them, 150 to 235 core-seconds each, by the accuracy of four networks of seed 0 that are not among
  the 12 or the 36): labels and a higher rate helped, a mixture of labels and distillation did not. Before the fresh
  ones were looked at: of the variants whose mean of tau and rho on the 12 is within 0.1 of the highest (less is noise),
  chosen is the one whose networks between are the most accurate.
- Figures of a judge: Kendall's tau and Spearman's rho with each of the two seeds alone, their mean; over all 36, given
  multiply-adds (partial tau), and among the 24 of one cost; 95 % bootstrap intervals over networks. Beside them tau
  with the mean of the two accuracies. The ceiling is the tau of seed 0 with seed 1; the ratio to it is worked out in
  each resample, may pass 1, since a seed errs too, and leaves out resamples whose ceiling is not positive, counted.
  Regret of the best 1, 3 and 5, the mean over both seeds; of seed 0 as judge, with seed 1. The same of three cheaper
  judges: multiply-adds, parameters, and a training alone of 2 epochs (seed 2). Better than a judge means: the
  bootstrap interval of the difference of taus (means of both seeds) excludes 0.
- Failures (a loss not finite, or too little memory): none is tried again. A network that fails alone with either
  seed is left out of the figures, its number reported; where its 2 epochs fail, that judge takes it for the worst; a
  supernet that fails is reported, and cannot be chosen.
- Cost of 1,000 candidates, in core-seconds (CPU time of one thread): each alone, by the mean of those that did not
  fail; the supernet's training, and as many evaluations with its weights, by the mean of those here. Rows of the
  supernet's processor alone count, and (amended with 92 of the 132 rows of networks alone there) of evaluations those
  of networks that were trained alone on it. Of an interrupted training the time up to each checkpoint counts; what was
  lost after it, and done again, counts once.
- A second round, begun once the first one's figures were known: variants from `six-fair` on are judged on all 48
  networks (`known`), which are for tuning from then on. What is found so wants networks that nobody has looked at.
- Aim: 0.8 of the ceiling over all; among the 24 better than every cheaper judge; at least 20 times cheaper.

Cost, estimated before: 1,000 images a core-second at 6M; 48 networks x 2 seeds x 80,000 images = 2.1 core-hours, the
short proxy 0.2; a supernet's step costs the largest (28.7M), the smallest and two between: 120,000 images = 0.9
core-hours a variant, five variants 4.5. About 7 core-hours, in rows of their own; an interrupted one goes on from its
checkpoint.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported, here and in the workers

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from supernet_judging import known, ops, shared
from supernet_report import AT_COST, EPOCHS, FRESH, SEEDS, SHORT, SHORT_SEED, SPACE, TUNED, networks, report
from supernet_rows import OUT, THREADS, Row, rows, write
from supernet_variants import BATCH, CHOSEN, COST, MOST, SUPERNET_EPOCHS, VARIANTS, WITHIN, data_of

import nas


def draw() -> None:
    """Draws the networks, once."""
    path = OUT / "networks.json"
    if path.exists():
        sys.exit(f"supernet_ranking: {path.name} is there already")
    space, seen = nas.SearchSpace.load(SPACE), set()

    def drawn(seed: int, wanted: int, low: float, high: float) -> list[dict[str, Any]]:
        rng, found = np.random.default_rng(seed), []
        while len(found) < wanted:
            sample = space.sample(rng)
            arch = space.decode(sample)
            if low <= arch.macs <= high and arch.key not in seen:
                seen.add(arch.key)
                found.append(sample)
        return found

    tuned = drawn(1, TUNED, 0, MOST)
    band = drawn(2, AT_COST, COST * (1 - WITHIN), COST * (1 + WITHIN))
    fresh = band + drawn(3, FRESH - AT_COST, 0, MOST)
    OUT.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tuned": tuned, "fresh": fresh}, indent=1))


def trained(sample: dict[str, Any], path: str, epochs: int, seed: int, folder: Path) -> Row:
    """One network alone, from its checkpoint where there is one."""
    import torch
    from supernet_cpu import Cpu

    from nas.checkpoints import Checkpoints
    from nas.recipes import recipe
    from nas.training import TrialFailure, seeded, train
    from nas.watching import Together

    torch.set_num_threads(THREADS)
    data = data_of(path)
    arch = nas.SearchSpace.load(SPACE).decode(sample).with_data(data.classes, data.in_chans)
    config = recipe("cifar", epochs=epochs, batch_size=BATCH, seed=seed)
    with seeded(seed):
        net = nas.build(arch)
    watch = Checkpoints(folder, arch.key)
    cpu = Cpu(watch)
    try:
        result = train(net, data, config, watch=Together(watch, cpu))
    except TrialFailure as error:
        return {"failed": str(error)}
    watch.log.end()
    watch.path.unlink()
    return {"accuracy": result.accuracy, "macs": arch.macs, "params": arch.params, "cpu_seconds": cpu.seconds}


def alone(path: str, work: Path, jobs: int) -> None:
    """Every network alone, and the short proxy of the fresh ones: what has no row yet."""
    done = {(row["set"], row["number"], row["epochs"], row["seed"]) for row in rows("alone")}
    found = networks()
    tasks = [(s, n, EPOCHS, seed) for s in ("tuned", "fresh") for n in range(len(found[s])) for seed in SEEDS]
    tasks += [("fresh", n, SHORT, SHORT_SEED) for n in range(len(found["fresh"]))]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {
            pool.submit(
                trained, found[task[0]][task[1]], path, task[2], task[3], work / "-".join(map(str, task))
            ): task
            for task in tasks
            if task not in done
        }
        for future in as_completed(futures):
            row = (
                dict(zip(("set", "number", "epochs", "seed"), futures[future], strict=True)) | future.result()
            )
            write("alone", row)
            print(row, flush=True)


def supernet(path: str, work: Path, variant: str) -> None:
    """Trains a variant's supernet, from its checkpoint where there is one."""
    if any(row["variant"] == variant for row in rows("supernets")):
        sys.exit(f"supernet_ranking: the supernet of {variant} has its row")
    import torch
    from supernet_cpu import Cpu

    from nas.checkpoints import Checkpoints
    from nas.recipes import recipe
    from nas.supernet.module import Supernet
    from nas.supernet.sampling import sampler
    from nas.supernet.sandwich import Sandwich
    from nas.training import TrialFailure, seeded, train
    from nas.watching import Together

    class Without(Sandwich):
        """No largest and no smallest network, but those between alone."""

        def networks(self, net, seed, number):
            rng = np.random.default_rng([seed, *number])
            return [net.space.decode(sample) for sample in self.sampler.draw(rng, self.between)]

    from nas.weights import write_tensors

    torch.set_num_threads(THREADS)
    changes, data, space = VARIANTS[variant], data_of(path), nas.SearchSpace.load(SPACE)
    size = changes.get("batch_size", BATCH)
    config = recipe("cifar", epochs=SUPERNET_EPOCHS, batch_size=size, lr=changes.get("lr"), weight_decay=1e-4)
    with seeded(0):
        net = Supernet(space, changes.get("transform", False))
    drawn = sampler(changes.get("sampler", "uniform"), space, changes.get("target", COST))
    made = Sandwich if changes.get("extremes", True) else Without
    objective = made(
        drawn, changes.get("between", 2), changes.get("distill", True), changes.get("fixed", False)
    )
    watch = Checkpoints(work / f"supernet-{variant}", f"{space.sha256} {variant}")
    cpu = Cpu(watch)
    try:
        result = train(net, data, config, watch=Together(watch, cpu), objective=objective)
    except TrialFailure as error:
        write("supernets", {"variant": variant, "failed": str(error)})
        return
    watch.log.end()
    write_tensors(work / f"supernet-{variant}.safetensors", dict(net.state_dict()), {})
    last = {name: result.history[-1][name] for name in ("smallest", "accuracy", "largest")}
    write("supernets", {"variant": variant, **last, "cpu_seconds": cpu.seconds})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("networks", "alone", "supernet", "shared", "ops", "known", "report"))
    parser.add_argument("--data", help="CIFAR-10 as an npz file, see docs/results.md")
    parser.add_argument("--work", type=Path, default=Path("runs/supernet-ranking"), help="checkpoints")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--variant", choices=VARIANTS, default="base")
    parser.add_argument("--fresh", action="store_true", help="look at the fresh networks, once")
    parser.add_argument("--from", dest="folder", type=Path, default=OUT, help="rows to report on")
    options = parser.parse_args()
    if options.step in ("networks", "report"):
        draw() if options.step == "networks" else report(options.folder, CHOSEN)
        return
    if options.data is None or not Path(options.data).is_file():
        parser.error(f"--data is {options.data!r}; give CIFAR-10 as an npz file")
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "alone":
        alone(options.data, options.work, options.jobs)
    elif options.step == "supernet":
        supernet(options.data, options.work, options.variant)
    elif options.step in ("ops", "known"):
        (ops if options.step == "ops" else known)(options.data, options.work, options.variant)
    else:
        shared(options.data, options.work, options.variant, options.fresh)


if __name__ == "__main__":
    main()
