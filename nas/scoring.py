"""`nas evaluate`: weights of a baseline, tested on a split.

>>> statistics_of(Facts(mean=(0.5,), std=(0.25,)), 1), statistics_of(Facts(), 3)
(((0.5,), (0.25,)), None)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas import baseline as baselines
from nas.data import describe, load_data
from nas.devices import device_of
from nas.errors import NasError, short
from nas.evaluation import balanced_accuracy, top_fractions
from nas.sources import Statistics
from nas.weights import Facts, load_network, read_weights


def statistics_of(facts: Facts, in_chans: int) -> Statistics | None:
    """What images were normalized with when the weights were trained; None where the file does not say, or
    the data have other channels, which a check of the classifier or the stem tells better."""
    return (tuple(facts.mean), tuple(facts.std)) if len(facts.mean) == in_chans == len(facts.std) else None


def compared(trained: Sequence[str], given: Sequence[str], weights: str, data: str) -> list[str]:
    """Sentences about class names that differ; none where a side only numbers its classes.

    >>> compared(("cat", "dog"), ("0", "1"), "w", "npz:x"), len(compared(("cat", "dog"), ("a", "b"), "w", "x"))
    ([], 1)

    Raises:
        NasError: where the same names stand in another order: every answer would be taken for another class.
    """
    trained, given = tuple(trained), tuple(given)
    numbers = tuple(map(str, range(len(given))))
    if len(trained) != len(given) or trained == given or numbers in (trained, given):
        return []
    pairs = enumerate(zip(given, trained, strict=True))
    number, here, there = next((n, a, b) for n, (a, b) in pairs if a != b)
    if sorted(trained) == sorted(given):
        raise NasError(
            f"{weights}: class {number} is {short(there)}, and in {data} {short(here)}: the same names in another "
            "order; give them the order of the training"
        )
    return [
        f"note: class {number} is called {short(there)} in the weights and {short(here)} in {data}; the accuracy holds "
        "only if they are the same classes in the same order"
    ]


def evaluated(
    name: str, weights: Path, data: str, data_dir: str | None, split: str, batch_size: int, device: str,
    threads: int | None, workers: int | None,
) -> dict[str, Any]:  # fmt: skip
    """What `nas evaluate --json` prints: top-1 and top-5 fractions in [0, 1] of a split, and `balanced` where a
    split file asks for that.

    Raises:
        NasError: for weights of another architecture or with other classes than the data's.
    """
    import torch

    found, chosen = baselines.load(name), device_of(device, "")
    if threads is not None:
        torch.set_num_threads(threads)
    net = load_network(found.architecture, weights)
    facts, arch = read_weights(weights)[1], net.architecture
    loaded = load_data(
        data,
        data_dir,
        arch.resolution,
        workers=workers,
        statistics=statistics_of(facts, describe(data, data_dir)[1]),
    )
    if (net.num_classes, arch.stem.in_chans) != (loaded.classes, loaded.in_chans):
        raise NasError(
            f"{weights}: is for {net.num_classes} classes and {arch.stem.in_chans} channels, and {data} has "
            f"{loaded.classes} and {loaded.in_chans}; give the data it was trained for, or nas train --transfer"
        )
    notes = compared(facts.class_names, loaded.class_names, str(weights), data)
    layout = torch.channels_last
    net = net.to(chosen).to(memory_format=layout)
    amp = chosen.startswith("cuda")
    top = top_fractions(net, loaded, split, (1, 5), batch_size=batch_size, amp=amp)
    own = {}
    if loaded.metric == "balanced":
        own = {"balanced": balanced_accuracy(net, loaded, split, batch_size=batch_size, amp=amp)}
    return {
        "baseline": found.name, "weights": str(weights), "data": data, "split": split,
        "images": len(loaded.split(split)), "top1": top[1], "top5": top[5], **own,
        "params": arch.params, "macs": arch.macs, "notes": notes,
    }  # fmt: skip
