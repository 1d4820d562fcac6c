"""One trial: decode, count the cost, build, train on the proxy task, report the reward.

search.yml's trialCommand runs it under NNI:

    .venv/bin/python -m nas.search.trial --data digits --epochs 8

By hand, without NNI, it evaluates one sample of a space, or a random one, and prints the metrics:

    .venv/bin/python -m nas.search.trial --data digits --epochs 8 --space digits --seed 1

A held-out part of the training set scores the network; the test set is never looked at. A trial
that diverges or runs out of memory is recorded as failed with its reason, and so is any error.
"""

import argparse
import json
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from nas.errors import NasError
from nas.search.options import parser, training_of
from nas.search.reporter import Reporter
from nas.search.task import Task, load_space, task_of


def device_of(name: str) -> str:
    """The torch device of --device; 'auto' is cuda where there is one.

    Raises:
        NasError: for a device that is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name)
    if name != "cpu" and cuda is None:
        raise NasError(f"trial: --device is {name!r}; allowed: auto, cpu, cuda, cuda:N")
    if cuda and not torch.cuda.is_available():
        raise NasError(f"trial: --device is {name}, but torch sees no CUDA device; use cpu or auto")
    if cuda and int(cuda.group(1) or 0) >= torch.cuda.device_count():
        raise NasError(
            f"trial: --device is {name}, but of CUDA devices torch sees {torch.cuda.device_count()}, numbered "
            "from 0; under NNI give cuda, which is the one that NNI gave to the trial"
        )
    return name


def run(
    options: argparse.Namespace, parameters: dict[str, Any] | None, reporter: Reporter
) -> dict[str, float]:
    """One trial from its sample to its final report.

    Returns:
        default (the reward), accuracy, macs, params, seconds.

    Raises:
        NasError: for a user's mistake.
        nas.training.TrialFailure: for a diverged or out-of-memory training.
    """
    from nas.data import describe

    task = task_of(options, parameters)
    space = load_space(task, reporter.run_dir)
    classes, in_chans = describe(options.data, options.data_dir)
    space = space.with_data(classes, in_chans)
    arch = space.decode(task.sample)
    cost = {"macs": arch.macs, "params": arch.params}
    if task.reward.target is None:
        target = space.target
        task.reward = task.reward.model_copy(update={"target": target})
    assert task.reward.target is not None
    twin = reporter.begin(task, arch, space)
    if twin is not None:
        final = {"default": twin.reward, "accuracy": twin.accuracy, **cost, "seconds": 0.0}
        state = "complete" if twin.number == reporter.number else "duplicate"
        reporter.tell(state, reward=twin.reward, accuracy=twin.accuracy, seconds=0.0, of=twin.number)
        return {name: float(value or 0) for name, value in final.items()}
    refused = task.limits.refuse(arch.macs, arch.params)
    if refused is not None:
        reporter.tell("rejected", reason=refused)
        return {"default": 0.0, "accuracy": 0.0, **cost, "seconds": 0.0}
    settings, target = task.reward, task.reward.target
    reporter.score = lambda accuracy: settings.of(accuracy, arch.macs, target)
    metrics = _evaluate(task, arch, options, reporter)
    worth = reporter.score(metrics.accuracy)
    final = {"accuracy": metrics.accuracy, **cost, "seconds": metrics.seconds}
    reporter.tell("complete", reward=worth, **final)
    return {"default": worth, **final}


def _evaluate(task: Task, arch: Any, options: argparse.Namespace, reporter: Reporter) -> Any:
    import torch

    from nas.data import load_data
    from nas.evaluators.proxy import ProxyEvaluator

    torch.set_num_threads(options.threads)
    config = training_of(options, task.seed)
    data = load_data(
        options.data, data_dir=options.data_dir, resolution=arch.resolution, workers=options.workers
    )
    return ProxyEvaluator(data, config, device_of(options.device)).evaluate(arch, reporter.epoch)


def _by_hand(options: argparse.Namespace) -> dict[str, Any]:
    """The sample of a trial without NNI: --sample, else a random one of the space."""
    if options.sample:
        written = options.sample.lstrip().startswith(
            ("{", "[")
        )  # a sample is longer than a file's name may be
        try:
            sample = json.loads(options.sample if written else Path(options.sample).read_text())
        except (OSError, ValueError) as error:
            raise NasError(
                f"trial: --sample is not JSON ({error}); give {{...}} or the path of a file"
            ) from None
        if not isinstance(sample, dict):
            raise NasError(
                f'trial: --sample is {sample!r}; give a mapping such as {{"stage1.kernel": 3, ...}}'
            )
        return sample
    if not options.space:
        raise NasError("trial: --space is missing; name a search space, such as --space digits")
    import numpy as np

    from nas.space import SearchSpace

    sample = SearchSpace.load(options.space).sample(np.random.default_rng(options.seed or 0))
    print(json.dumps(sample), file=sys.stderr)
    return sample


def main(argv: list[str] | None = None) -> int:
    """Runs the trial; exit code 0 with a result, 1 for a failed trial, 2 for a user's mistake."""
    reporter = Reporter(None, None)
    try:
        options = parser(__doc__).parse_args(argv)
        os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
        experiment = os.environ.get("NNI_EXP_ID")
        if os.environ.get("NNI_TRIAL_JOB_ID") is None or experiment in (None, "STANDALONE"):
            print(json.dumps(run(options, _by_hand(options), reporter)))
            return 0
        import nni

        parameters = nni.get_next_parameter()
        reporter = Reporter(nni, Path(os.environ.get("NNI_CODE_DIR", ".")) / "runs" / str(experiment))
        number = (parameters.get("run") or {}).get("number")
        if number is not None and reporter.journal is not None and reporter.journal.exists:
            reporter.ours, reporter.number = True, int(number)  # whatever goes wrong now is recorded
        _on_signals(signal.SIG_DFL if reporter.ours else _interrupt)
        final = run(options, parameters, reporter)
        nni.report_final_result(final)
        return 0
    except Interrupted as interruption:
        reporter.interrupted()
        _on_signals(signal.SIG_DFL)
        os.kill(os.getpid(), interruption.args[0])
        return 1
    except NasError as error:
        return _fail(reporter, str(error), 2)
    except Exception as error:
        sentence = " ".join(str(error).split())[:500]
        ours = type(error).__module__ == "nas.training"
        if not ours:
            traceback.print_exc()
        return _fail(reporter, sentence if ours else f"{type(error).__name__}: {sentence}", 1)


class Interrupted(BaseException):
    """NNI's signal to end; its argument is the signal's number."""


def _interrupt(number: int, _: object) -> NoReturn:
    raise Interrupted(number)


def _on_signals(handler: Any) -> None:
    """NNI ends a trial by SIGINT or SIGTERM, and calls one that then exits by itself FAILED: a
    stopped trial must die of the signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _fail(reporter: Reporter, reason: str, code: int) -> int:
    print(f"nas trial: {reason}", file=sys.stderr)
    try:
        reporter.tell("failed", reason=reason)
    except NasError as error:
        print(f"nas trial: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
