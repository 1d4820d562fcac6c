"""One full training of a certificate, in a process of its own; after kill -9 it goes on from its checkpoint.

A finalist trains on `train` and is scored on `val`; a network that is judged trains on `train` and `val` and looks at
`test` once, when its training has ended.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.search.short_training import loaded

SPLITS = {"train": "val", "trainval": "test"}
"""What is trained on: what is then scored."""


def fully_trained(work: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy on the split of `SPLITS`, which of its images are right (`packed`), and seconds; or why it failed.

    Args:
        work: 'network', a baseline document; 'config', of `nas.recipe.TrainingConfig`, as plain data; 'folder', of its
            checkpoint, which stays until somebody has written down what came of it; data, data_dir, workers, threads,
            device.

    Raises:
        NasError: for a mistake in data or options, or a full disk.
    """
    import torch

    from nas.baseline import from_document
    from nas.checkpoints import Checkpoints
    from nas.documents import BaselineDocument
    from nas.evaluation import accuracy_of, right
    from nas.network import build
    from nas.recipe import TrainingConfig
    from nas.training import TrialFailure, seeded, train
    from nas.training_lock import locked

    torch.set_num_threads(work["threads"])
    arch = from_document(BaselineDocument.parse(work["network"], "network")).architecture
    data = loaded(work["data"], work["data_dir"], arch.resolution, work["workers"])
    config, folder = TrainingConfig.check(work["config"]), Path(work["folder"])
    with seeded(config.seed):
        net = build(arch.with_data(data.classes, data.in_chans))
    checkpoints, split = Checkpoints(folder, arch.key), SPLITS[config.split]
    with locked(folder):
        try:
            result = train(net, data, config, work["device"], watch=checkpoints)
            hits = right(net, data, split, batch_size=config.batch_size)
        except TrialFailure as error:
            return {"failed": str(error)}
        finally:
            checkpoints.log.end()
    return {
        "accuracy": accuracy_of(hits, data, split),
        "seconds": result.seconds,
        "hits": packed(hits.numpy()),
    }


def packed(hits: np.ndarray) -> str:
    """Which images are right, bool (images,), as text: their number, and eight images a byte in base64.

    >>> unpacked(packed(np.array([True, False, True]))).tolist()
    [True, False, True]
    """
    return f"{len(hits)}:{base64.b64encode(np.packbits(hits).tobytes()).decode()}"


def unpacked(text: str) -> np.ndarray:
    """Bool (images,), of what `packed` wrote."""
    count, _, content = text.partition(":")
    bits = np.frombuffer(base64.b64decode(content), np.uint8)
    return np.unpackbits(bits, count=int(count)).astype(bool)
