"""What a trial does, in the process that does it; `python -m nas.search.trial` is the command.

A held-out part of the training set scores the network; the test set is never looked at. A trial
that diverges or runs out of memory is recorded as failed with its reason, and so is any error.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from nas.errors import NasError
from nas.files import UMASK, text_of
from nas.search import trial
from nas.search.costs import LATENCY
from nas.search.guard import PRIVATE
from nas.search.measuring import Measuring, measuring
from nas.search.options import parser
from nas.search.reporter import Reporter
from nas.search.runs import INTERRUPTED
from nas.search.task import task_of
from nas.spinning import spin_briefly
from nas.strict_json import load_json

MAX_SAMPLE = 1 << 20
"""Bytes of a sample."""


def run(
    options: argparse.Namespace,
    parameters: dict[str, Any] | None,
    reporter: Reporter,
    way: Measuring | None = None,
) -> dict[str, float]:
    """One trial from its sample to its final report, measured as the options say, or by one who measures several.

    Returns:
        default (the reward), accuracy, macs, params, latency (where they are known), seconds.

    Raises:
        NasError: for a user's mistake.
        nas.training.TrialFailure: for a diverged or out-of-memory training.
    """
    task, way = task_of(options, parameters), way or measuring(options)
    subject = way.subject(task, reporter.run_dir)
    sample = task.sample = subject.validate(task.sample)
    cost = {name: value for name, value in subject.cost(sample).items() if value is not None}
    if task.latency is not None:
        cost[LATENCY] = task.latency
    settings, target = task.reward, task.reward.target or subject.target
    task.reward = settings.model_copy(update={"target": target})
    twin = reporter.begin(task, subject)
    if twin is not None:
        state = "complete" if twin.number == reporter.number else "duplicate"
        reporter.tell(state, reward=twin.reward, accuracy=twin.accuracy, seconds=0.0, of=twin.number)
        return {
            "default": float(twin.reward or 0),
            "accuracy": float(twin.accuracy or 0),
            **cost,
            "seconds": 0.0,
        }
    refused = subject.refuse(sample) or task.limits.refuse(cost["macs"], cost.get("params", 0), task.latency)
    if refused is not None:
        reporter.tell("rejected", reason=refused)
        return {"default": 0.0, "accuracy": 0.0, **cost, "seconds": 0.0}
    reporter.score = lambda accuracy: settings.of(accuracy, settings.paid(cost), target)
    metrics = way.measure(task, subject, sample, reporter.epoch)
    worth = reporter.score(metrics.accuracy)
    final = {"accuracy": metrics.accuracy, **cost, "seconds": metrics.seconds}
    reporter.tell("complete", reward=worth, **final)
    return {"default": worth, **final}


def _by_hand(options: argparse.Namespace) -> dict[str, Any]:
    """The sample of a trial without NNI: --sample, else a random one of the space."""
    if options.sample:
        written = options.sample.lstrip().startswith(
            ("{", "[")
        )  # a sample is longer than a file's name may be
        give = "give {...} or the path of a file"
        text = options.sample if written else text_of(Path(options.sample), MAX_SAMPLE)
        sample = load_json(text, "trial: --sample", give)
        if not isinstance(sample, dict):
            raise NasError(
                f'trial: --sample is {sample!r}; give a mapping such as {{"stage1.kernel": 3, ...}}'
            )
        return sample
    import numpy as np

    subject = measuring(options).subject(task_of(options, None), None)
    sample = subject.random(np.random.default_rng(options.seed or 0))
    print(json.dumps(sample), file=sys.stderr)
    return sample


def main(argv: list[str] | None = None) -> int:
    """Runs the trial; exit code 0 with a result, 1 for a failed trial, 2 for a user's mistake."""
    reporter = Reporter(None, None)
    try:
        options = parser(trial.__doc__).parse_args(argv)
        os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
        spin_briefly(os.environ)
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
        _watched(options, reporter)
        reporter.final(run(options, parameters, reporter))
        return 0
    except Interrupted as interruption:
        reporter.interrupted()
        _on_signals(signal.SIG_DFL)
        os.kill(os.getpid(), interruption.args[0])
        return 1
    except NasError as error:
        return _fail(reporter, str(error), 2)
    except Exception as error:
        if not known(error):
            traceback.print_exc()
        return _fail(reporter, reason_of(error), 1)


def known(error: Exception) -> bool:
    """Whether an error is a way in which trainings end."""
    return type(error).__module__ == "nas.training"


def reason_of(error: Exception) -> str:
    """Why a trial failed, in one line."""
    sentence = " ".join(str(error).split())[:500]
    return sentence if known(error) else f"{type(error).__name__}: {sentence}"


def _watched(options: argparse.Namespace, reporter: Reporter) -> None:
    """Signals and memory are looked after: of a search of ours by a thread, else in the main one, which has a
    lower bound to record. Its files are the user's alone."""
    os.environ.setdefault(UMASK, f"{os.umask(PRIVATE):o}")
    if not reporter.ours:
        _on_signals(_interrupt)
    if not reporter.ours and options.memory_limit is None:
        return
    from nas.search.watch import Watch

    def over(used: int) -> None:
        limit = f"--memory-limit {options.memory_limit / 1e9:.3g}G"
        _fail(reporter, f"out of memory: {used / 1e9:.3g} GB in use, over {limit}", 1)

    Watch(reporter.file(INTERRUPTED) if reporter.ours else None, options.memory_limit, over)


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
