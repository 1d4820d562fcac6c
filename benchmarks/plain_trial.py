"""A trial as NNI's tutorials have it: `python plain_trial.py EPOCHS`; benchmarks/trial_start.py measures it.

It is a script that imports what it needs at its top, torchvision among it, and trains the network that NNI proposes.
Its training is that of our trials, and it writes neither a journal nor TensorBoard's files.
"""

import sys

import nni
import torch
import torchvision  # noqa: F401  (what every tutorial begins with)

import nas
from nas.data import load_data
from nas.evaluators.proxy import ProxyEvaluator
from nas.training import TrainingConfig


def main() -> None:
    torch.set_num_threads(1)
    sample = {name: value for name, value in nni.get_next_parameter().items() if name != "run"}
    arch = nas.SearchSpace.load("digits").decode(sample)
    data = load_data("digits", resolution=arch.resolution)
    evaluator = ProxyEvaluator(data, TrainingConfig(epochs=int(sys.argv[1]), seed=0))
    metrics = evaluator.evaluate(arch, lambda _, epoch: nni.report_intermediate_result(epoch["accuracy"]))
    nni.report_final_result({"default": metrics.accuracy})


if __name__ == "__main__":
    main()
