"""One short training, as a trial of a search has it, in a process of its own; see `nas.search.trainings`.

>>> from nas.search.fidelity import Fidelity
>>> space = SearchSpace.load("digits")
>>> sample = {label: values[0] for label, values in space.choices.items()}
>>> work = {"space": space.document.model_dump(mode="json"), "sample": sample, "fidelity": {"epochs": 1},
...         "config": {"epochs": 1, "seed": 0}, "data": "digits", "data_dir": None, "workers": None, "threads": 1,
...         "device": "cpu"}
>>> sorted(shortly_trained(work))
['accuracy', 'seconds']
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nas.search.fidelity import Fidelity
from nas.space import SearchSpace


def shortly_trained(work: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy and seconds, or why it failed.

    Args:
        work: 'space' and 'sample', 'fidelity' and 'config' (of `nas.recipe.TrainingConfig`), as plain data; data,
            data_dir, workers, threads, device.

    Raises:
        NasError: for a mistake in data or options.
    """
    import torch

    from nas.evaluators.proxy import ProxyEvaluator
    from nas.recipe import TrainingConfig
    from nas.training import TrialFailure

    torch.set_num_threads(work["threads"])
    fidelity = Fidelity(**work["fidelity"])
    arch = fidelity.of(SearchSpace.from_data(work["space"]).decode(work["sample"]))
    data = loaded(work["data"], work["data_dir"], arch.resolution, work["workers"]).with_part(
        fidelity.fraction
    )
    config = TrainingConfig.check(work["config"])
    try:
        metrics = ProxyEvaluator(data, config, work["device"]).evaluate(arch)
    except TrialFailure as error:
        return {"failed": str(error)}
    return {"accuracy": metrics.accuracy, "seconds": metrics.seconds}


@lru_cache(4)
def loaded(name: str, data_dir: str | None, resolution: int, workers: int | None) -> Any:
    """`nas.data.load_data`, once a process for each resolution: its trainings follow each other."""
    from nas.data import load_data

    return load_data(name, data_dir, resolution, workers=workers)
