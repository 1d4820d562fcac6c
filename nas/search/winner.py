"""From a run to a baseline: the winner frozen, trained once in full, looked at once on the test split."""

import contextlib
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.baseline import Baseline, load, save
from nas.documents import Facts, Provenance
from nas.errors import NasError
from nas.search.costs import latency_words
from nas.search.finding import subject_of
from nas.search.journal import Journal, Trial
from nas.search.scaling_subject import ScalingSubject
from nas.search.scaling_winner import freeze_scaling

FULL_EPOCHS = 60
"""Epochs of the full training that `make search` ends with."""


def pick(journal: Journal, number: int | None) -> Trial:
    """The trial of a number, else the one of highest reward.

    Raises:
        NasError: where the trial has no accuracy, or no trial has.
    """
    if number is not None:
        trial = journal.trials.get(number)
        if trial is None or not trial.scored:
            state = f"is {trial.state}" if trial else "does not exist"
            scored = [str(t.number) for t in journal.trials.values() if t.scored]
            raise NasError(
                f"{journal.path}: trial {number} {state}; trials that can be frozen: {', '.join(scored) or 'none'}"
            )
        return trial
    best = journal.best()
    if best is None:
        raise NasError(no_winner(journal))
    return best


def no_winner(journal: Journal) -> str:
    """Why a run has no winner, in one sentence."""
    ended = journal.ended()
    if not ended:
        return f"{journal.path}: no trial has ended yet; wait for one, or resume the search"
    first = ended[0]
    return (
        f"{journal.path}: all {len(ended)} trials ended without an accuracy; the first, trial {first.number}, "
        f"{first.state}: {first.reason or 'no reason recorded'}"
    )


def data_of(journal: Journal) -> tuple[str | None, str | None]:
    """(--data, --data-dir) of the run's trials; None where they do not train on any."""
    from nas.search.options import after_trial, parser

    words = shlex.split(journal.run.get("command") or "")
    try:
        options, _ = parser().parse_known_args(words[after_trial(words) or 1 :])
    except NasError:  # no trial of ours, so without --data
        return None, None
    return options.data, options.data_dir


def baseline_of(journal: Journal, trial: Trial, name: str) -> Baseline:
    """The baseline that a trial's sample makes, with its facts and provenance.

    Raises:
        NasError: where the run searched a table of plain choices.
    """
    from nas.profile import fvcore_macs

    run, subject = journal.run, subject_of(journal.run, str(journal.path))
    arch = subject.architecture(trial.sample)
    table = "" if subject.table is None else f", by the table {subject.table.name}"
    shared = f", with weights of a supernet (sha256 {run['supernet'][:12]})" if run.get("supernet") else ""
    return Baseline(
        name=name,
        architecture=arch,
        source=f"found by b0nas in the space {run['space']}{table}{shared}",
        facts=Facts(
            params=arch.params,
            macs=arch.macs,
            fvcore=fvcore_macs(arch).total,
            latency=trial.latency,
            latency_by=latency_words(run),
            search_accuracy=trial.accuracy,
            reward=trial.reward,
            data=data_of(journal)[0] if subject.table is None else f"table {subject.table.name}",
            seed=run["seed"],
        ),
        provenance=Provenance(
            space=run["space"],
            space_sha256=run["sha256"],
            table_sha256=None if subject.table is None else subject.table.sha256,
            latency_sha256=(run.get("latency") or {}).get("sha256"),
            strategy=run["strategy"]["name"],
            experiment=run["experiment"],
            trial=trial.number,
            versions=run["versions"],
            date=datetime.now(UTC).date().isoformat(),
        ),
    )


def default_folder() -> Path:
    """`baselines/` in a checkout, else the current folder."""
    return Path("baselines") if Path("baselines").is_dir() else Path()


def freeze(
    journal: Journal, number: int | None = None, name: str | None = None,
    output: Path | None = None, force: bool = False,
) -> tuple[Baseline, Path]:  # fmt: skip
    """Writes the winner of a run as a baseline document; of a grid search, the coefficients into its baseline's.

    Raises:
        NasError: where there is no winner, or the name is taken.
    """
    trial = pick(journal, number)
    subject = subject_of(journal.run, str(journal.path))
    if isinstance(subject, ScalingSubject):
        return freeze_scaling(journal, subject, trial, default_folder(), name, output, force)
    chosen = name or f"{journal.run['space']}-{journal.run['experiment']}"
    baseline = baseline_of(journal, trial, chosen)
    path = output or default_folder() / f"{chosen}.yml"
    baseline = _with_certificate(baseline, path) if force and path.exists() else baseline
    return baseline, save(baseline, path, force, "--name" if output is None else "--output")


def _with_certificate(baseline: Baseline, path: Path) -> Baseline:
    """With the certificate that the document at `path` has, where that is of the same network."""
    with contextlib.suppress(NasError):
        before = load(path)
        if before.architecture.key == baseline.architecture.key:
            return replace(baseline, certificate=before.certificate)
    return baseline


def train_in_full(
    baseline: Baseline, path: Path, data: str, data_dir: str | None, epochs: int, weights: Path,
    report: Any = None, device: str = "cpu", threads: int = 1,
) -> Baseline:  # fmt: skip
    """Trains the winner on the whole training set, looks at the test split once, writes both down.

    The accuracy goes into the document's facts, the weights into `weights` (safetensors). `threads`
    are torch's on a CPU: one by default as in a trial, for two wait for each other on a busy machine.
    """
    import torch

    from nas.data import load_data
    from nas.evaluation import evaluate
    from nas.network import build
    from nas.training import TrainingConfig, seeded, train
    from nas.weights import Facts as WeightsFacts
    from nas.weights import save_weights

    arch, facts = baseline.architecture, baseline.facts
    assert facts is not None
    config = TrainingConfig(epochs=epochs, seed=facts.seed or 0, split="trainval")
    loaded = load_data(data, data_dir=data_dir, resolution=arch.resolution)
    with seeded(config.seed):
        net = build(arch)
    torch.set_num_threads(threads)
    train(net, loaded, config, device=device, report=report)
    accuracy = evaluate(net, loaded, split="test")
    long = f"{epochs} epoch{'s' * (epochs > 1)}"
    recipe = f"{long} on train + val, {config.optimizer}, lr {config.lr:g}, {config.schedule}"
    images = loaded.split(config.split)
    mean, std = images.statistics
    said = WeightsFacts(
        baseline=baseline.name, data=loaded.name, recipe=recipe, epochs=epochs, accuracy=accuracy, scored="test",
        class_names=loaded.class_names, mean=mean, std=std, **images.resizing._asdict(),
    )  # fmt: skip
    save_weights(net, weights, said)
    measured = replace(baseline, facts=facts.model_copy(update={"accuracy": accuracy, "recipe": recipe}))
    save(measured, path, force=True)
    return measured
