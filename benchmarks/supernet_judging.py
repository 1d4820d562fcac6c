"""Accuracies with shared weights, of supernet_ranking.py."""

import sys
import time
from pathlib import Path
from typing import Any

from supernet_report import SPACE, networks
from supernet_rows import THREADS, rows, write
from supernet_variants import CHOSEN, VARIANTS, data_of

import nas


def shared(path: str, work: Path, variant: str, fresh: bool) -> None:
    """Accuracies with the shared weights of a variant: of the tuned networks, or once of the fresh ones."""
    if fresh and variant != CHOSEN:
        sys.exit(
            f"supernet_ranking: fresh networks are looked at with the variant that is CHOSEN ({CHOSEN}) alone"
        )
    name = "fresh" if fresh else "tuned"
    done = {row["number"] for row in rows("shared") if row["set"] == name and row["variant"] == variant}
    left = [(number, sample) for number, sample in enumerate(networks()[name]) if number not in done]
    if not left:
        sys.exit(f"supernet_ranking: {name} networks have their rows of {variant}")
    judge, space = judge_of(path, work, variant)
    for number, sample in left:
        cpu = time.process_time()
        found = judge.evaluate(space.decode(sample))
        row = {"set": name, "number": number, "variant": variant, "accuracy": found.accuracy}
        write("shared", row | {"cpu_seconds": round(time.process_time() - cpu, 2)})


def known(path: str, work: Path, variant: str) -> None:
    """Accuracies with a later variant's weights of all networks, which have been looked at by then."""
    done = {(row["set"], row["number"]) for row in rows("known") if row["variant"] == variant}
    judge, space = judge_of(path, work, variant)
    for name, samples in networks().items():
        for number, sample in enumerate(samples):
            if (name, number) not in done:
                accuracy = judge.evaluate(space.decode(sample)).accuracy
                write("known", {"set": name, "number": number, "variant": variant, "accuracy": accuracy})


def judge_of(path: str, work: Path, variant: str) -> tuple[Any, nas.SearchSpace]:
    """The evaluator with a variant's weights, and the space."""
    import torch

    from nas.evaluators.supernet import SupernetEvaluator
    from nas.supernet.module import Supernet
    from nas.weights import read_tensors

    torch.set_num_threads(THREADS)
    space = nas.SearchSpace.load(SPACE)
    net = Supernet(space, VARIANTS[variant].get("transform", False))
    net.load_state_dict(read_tensors(work / f"supernet-{variant}.safetensors")[0])
    return SupernetEvaluator(net, data_of(path)), space


def ops(path: str, work: Path, variant: str) -> None:
    """The smallest network, and the same with another op in one stage: what strangers a variant's ops are."""
    from nas.supernet.sampling import extremes

    if any(row["variant"] == variant for row in rows("ops")):
        sys.exit(f"supernet_ranking: the ops of {variant} have their rows")
    judge, space = judge_of(path, work, variant)
    smallest = space.encode(extremes(space)[0])
    for label in (label for label in space.choices if label.endswith(".op")):
        for op in space.choices[label]:
            accuracy = judge.evaluate(space.decode({**smallest, label: op})).accuracy
            row = {"variant": variant, "choice": label, "op": op, "smallest": op == smallest[label]}
            write("ops", row | {"accuracy": accuracy})
