"""The options of a trial: `python -m nas.search.trial --help`; needs neither torch nor nni.

>>> parser().parse_args(["--data", "digits", "--epochs", "8"]).epochs
8
"""

import argparse
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from nas.errors import NasError, listed
from nas.evaluators.table import RUNS
from nas.recipe import TrainingConfig

TRIAL, FILE = "nas.search.trial", "nas/search/trial.py"

TRAINING = {
    "--epochs": (int, "epochs of the proxy task"),
    "--batch-size": (int, "images a step"),
    "--optimizer": (str, "sgd or rmsprop"),
    "--lr": (float, "peak learning rate"),
    "--momentum": (float, "momentum of the optimizer"),
    "--weight-decay": (float, "of convolutions and linear weights"),
    "--label-smoothing": (float, "mass spread over the other classes"),
    "--schedule": (str, "cosine or exponential"),
    "--warmup-epochs": (float, "linear warm-up"),
    "--ema": (float, "decay of the averaged weights; 0 for none"),
    "--clip-norm": (float, "largest gradient norm; 0 for none"),
    "--norm-momentum": (float, "weight of the newest batch in batch norm"),
}
"""Options handed to `nas.recipe.TrainingConfig`, whose defaults they have."""
RATIOS = {
    "--fraction": ("fraction", "of the training images of each class"),
    "--resolution-ratio": ("resolution", "of the pixels, for the proxy alone"),
    "--width-ratio": ("width", "of the channels, for the proxy alone"),
}
"""Options of a cheaper proxy, handed to `nas.search.fidelity.Fidelity`."""
RECIPE = (*TRAINING, *RATIOS, "--no-augment")
"""Options of a training: with --supernet there is nothing for them to do."""
TRAINS = ("--data-dir", "--supernet", "--recalibrate", *RECIPE, "--device", "--threads", "--workers")
"""Options of trials that have data: with --table there is nothing for them to do."""


class _Parser(argparse.ArgumentParser):
    """argparse, with a mistake said in one sentence and no usage text."""

    def error(self, message: str) -> NoReturn:
        raise NasError(f"trial: {message}; see python -m nas.search.trial --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        options, rest = super().parse_known_args(args, namespace)
        if options.table is None and options.runs is not None:
            self.error("--runs belongs to --table, and --data is given; leave one out")
        if options.supernet is None and options.recalibrate is not None:
            self.error("--recalibrate belongs to --supernet, which is not given; leave it out")
        for source, flags in (("table", TRAINS), ("supernet", RECIPE)):
            idle = [flag for flag in flags if self._given(options, flag)]
            if getattr(options, source) is not None and idle:
                self.error(
                    f"{listed(idle)} belong{'s' * (len(idle) == 1)} to training, and --{source} trains nothing"
                )
        return options, rest

    def _given(self, options: argparse.Namespace, flag: str) -> bool:
        name = flag.removeprefix("--").replace("-", "_")
        return getattr(options, name) != self.get_default(name)


def _from(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}; give a whole number of {least} or more")
        return int(text)

    return whole


def _ratio(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}; give a ratio over 0, up to 1")
    return found


def _bytes(text: str) -> int:
    from nas.reading import count

    try:
        found = count(text)
    except ValueError:
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; give bytes, such as 4G")
    return found


def parser(description: str | None = None, help: bool = True) -> argparse.ArgumentParser:
    """The options of a trial, and by choice --help, which ends the process; needs neither torch nor nni."""
    options = _Parser("python -m nas.search.trial", allow_abbrev=False, description=description, add_help=help,
                      formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help="digits, cifar10, folder:PATH, npz:PATH ...")
    source.add_argument("--table", help="instead of training: recorded results, a .json or .csv file")
    options.add_argument(
        "--runs", choices=RUNS, help="with --table: the mean of a network's runs, or one drawn"
    )
    options.add_argument(
        "--supernet", help="instead of training: weights of the supernet in this folder (nas supernet)"
    )
    options.add_argument(
        "--recalibrate", type=_from(1), help="with --supernet: training images for batch norm (2048)"
    )
    options.add_argument("--data-dir", help="where torchvision's data sets lie or are downloaded to")
    for flag, (kind, text) in TRAINING.items():
        options.add_argument(flag, type=kind, help=text)
    for flag, (_, text) in RATIOS.items():
        options.add_argument(flag, type=_ratio, help=text)
    options.add_argument("--no-augment", action="store_true", help="train on the images as they are")
    options.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options.add_argument("--threads", type=_from(1), default=1, help="CPU threads of this trial")
    options.add_argument("--workers", type=_from(0), help="processes that decode a folder's images (up to 4)")
    options.add_argument("--memory-limit", type=_bytes, help="such as 4G: a trial that uses more has failed")
    options.add_argument(
        "--cold", action="store_true", help="load all anew: no warm process does this trial's work"
    )
    options.add_argument("--space", help="space document; by default the run's own")
    options.add_argument("--target-macs", help="T of the reward, outside of a run of ours")
    options.add_argument("--w", type=float, help="exponent of the reward, outside of a run of ours")
    options.add_argument("--form", choices=("soft", "hard"), help="of the reward, outside of a run of ours")
    options.add_argument("--max-macs", help="hard limit, outside of a run of ours")
    options.add_argument("--max-params", help="hard limit, outside of a run of ours")
    options.add_argument("--seed", type=int, help="of weights and batches, outside of a run of ours")
    options.add_argument("--sample", help="by hand: the sample as JSON, or the path of a JSON file")
    return options


def options_of(command: str, strict: bool = False) -> argparse.Namespace | None:
    """The options of our trial in a trialCommand, None where it is another command.

    Raises:
        NasError: where they are wrong; unknown ones only if `strict`.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise NasError(f"trialCommand is no command ({error}); close its quotes") from None
    start = after_trial(words)
    if start is None:
        return None
    words = words[start:]
    options = parser(help=False)
    return options.parse_args(words) if strict else options.parse_known_args(words)[0]


def after_trial(words: Sequence[str]) -> int | None:
    """Where a trial's options begin in a command; None in another's. Old journals name the module by its file.

    >>> after_trial(["python", "-m", TRIAL, "--data"]), after_trial(["/lib/nas/search/trial.py", "--data"])
    (3, 1)
    """
    places = (n for n, word in enumerate(words, 1) if word == TRIAL or word.endswith(FILE))
    return next(places, None)


def training_of(options: argparse.Namespace, seed: int) -> TrainingConfig:
    """The proxy task's training, of options with --data.

    Raises:
        NasError: for an impossible value.
    """
    names = [flag.removeprefix("--").replace("-", "_") for flag in TRAINING]
    chosen = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    chosen |= {"augment": False} if options.no_augment else {}
    return TrainingConfig.check({**chosen, "seed": seed}, "trial")


def ratios_of(options: argparse.Namespace) -> dict[str, float]:
    """What of a cheaper proxy is asked for: the fields of `nas.search.fidelity.Fidelity` but for the epochs."""
    given = {
        name: getattr(options, flag.removeprefix("--").replace("-", "_"))
        for flag, (name, _) in RATIOS.items()
    }
    return {name: value for name, value in given.items() if value is not None}
