"""The winner is the true argmax of the journal, and its document is verified."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas
from nas import NasError, SearchSpace
from nas.baseline import save_part
from nas.documents import CertificateLine
from nas.profile import fvcore_macs
from nas.search.options import options_of
from nas.search.winner import data_of, freeze, no_winner, pick, train_in_full


def complete(reward: float | None, accuracy: float = 0.9) -> tuple[str, dict[str, Any]]:
    return "complete", {"accuracy": accuracy, "reward": reward}


FAILED = ("failed", {"reason": "diverged: the loss is nan"})
STOPPED = ("stopped", {"accuracy": 0.99, "reward": 0.99})
REJECTED = ("rejected", {"reason": "macs 9 is over the limit of 8"})
DUPLICATE = ("duplicate", {"accuracy": 0.98, "reward": 0.98})
RUNNING = ("running", {})


# Which


def test_the_highest_reward_wins(make_run):
    journal = make_run(
        complete(0.5), STOPPED, complete(0.8), FAILED, DUPLICATE, REJECTED, complete(0.7), RUNNING
    )
    assert pick(journal, None).number == 2


def test_of_equals_the_earliest_wins(make_run):
    assert pick(make_run(complete(0.5), complete(0.8), complete(0.8)), None).number == 1


def test_the_reward_decides_and_not_the_accuracy(make_run):
    assert pick(make_run(complete(0.5, accuracy=0.99), complete(0.6, accuracy=0.7)), None).number == 1


def test_another_trial_may_be_chosen(make_run):
    assert pick(make_run(complete(0.5), complete(0.8)), 0).number == 0


@pytest.mark.parametrize(
    ("number", "state"),
    [(1, "is failed"), (2, "is stopped"), (3, "is duplicate"), (4, "is running"), (9, "does not exist")],
)
def test_a_trial_without_a_full_accuracy_is_refused(make_run, number, state):
    journal = make_run(complete(0.5), FAILED, STOPPED, DUPLICATE, RUNNING, complete(0.4))
    with pytest.raises(
        NasError, match=rf"journal\.jsonl: trial {number} {state}; trials that can be frozen: 0, 5$"
    ):
        pick(journal, number)


def test_where_all_failed_the_first_reason_is_told(make_run):
    journal = make_run(FAILED, ("failed", {"reason": "another"}), REJECTED)
    sentence = (
        r"journal\.jsonl: all 3 trials ended without an accuracy; the first, trial 0, failed: "
        r"diverged: the loss is nan$"
    )
    with pytest.raises(NasError, match=sentence):
        pick(journal, None)
    with pytest.raises(NasError, match=sentence):
        freeze(journal)


def test_where_none_ended_it_says_so(make_run):
    assert "no trial has ended yet; wait for one, or resume the search" in no_winner(make_run(RUNNING))


# The document


@pytest.fixture
def journal(make_run, in_folder):
    return make_run(complete(0.5), complete(0.8, accuracy=0.875), complete(0.6))


def test_the_document_reads_back_verified(journal, tiny, in_folder):
    baseline, path = freeze(journal)
    assert path == Path("tiny-abc123.yml")
    assert nas.load(path) == baseline
    trial = journal.trials[1]
    arch = tiny.decode(trial.sample)
    assert baseline.architecture == arch
    facts, provenance = baseline.facts, baseline.provenance
    assert facts is not None
    assert provenance is not None
    assert (facts.params, facts.macs, facts.search_accuracy, facts.reward) == (
        arch.params,
        arch.macs,
        0.875,
        0.8,
    )
    assert (facts.accuracy, facts.data, facts.seed) == (None, "digits", 7)
    assert (provenance.space, provenance.space_sha256, provenance.strategy) == ("tiny", tiny.sha256, "random")
    assert (provenance.experiment, provenance.trial, provenance.versions) == ("abc123", 1, {"b0nas": "0.1.0"})
    assert provenance.date is not None
    assert len(provenance.date) == 10


def test_fvcores_figure_is_the_built_networks(journal):
    baseline, _ = freeze(journal)
    counted = fvcore_macs(baseline.architecture)
    assert baseline.facts is not None
    assert baseline.facts.fvcore == counted.total
    assert counted.conv_linear == baseline.architecture.macs


def test_the_winner_has_the_classes_and_channels_of_the_data(make_run, in_folder, tiny):
    baseline, _ = freeze(make_run(complete(0.5), classes=10, in_chans=3))
    arch = baseline.architecture
    assert (arch.head.classes, arch.stem.in_chans) == (10, 3)
    assert SearchSpace.from_data(make_run().run["document"]).contains(arch)


def test_a_document_changed_by_hand_is_found_out(journal):
    _, path = freeze(journal)
    document = yaml.safe_load(path.read_text())
    document["facts"]["macs"] += 1
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(NasError, match=r"facts\.macs is \d+, but the stages have \d+"):
        nas.load(path)


def test_it_goes_to_the_folder_of_baselines_where_there_is_one(journal, in_folder):
    (in_folder / "baselines").mkdir()
    assert freeze(journal, name="mine")[1] == Path("baselines/mine.yml")
    assert nas.load("mine").name == "mine"


def test_an_existing_name_is_refused_without_force(journal, in_folder):
    first, path = freeze(journal, name="mine")
    with pytest.raises(
        NasError, match=r"^mine\.yml exists; choose another --name, or give --force to replace it$"
    ):
        freeze(journal, number=0, name="mine")
    assert nas.load(path) == first
    second, _ = freeze(journal, number=0, name="mine", force=True)
    assert nas.load(path) == second != first


def test_force_keeps_the_certificate_of_the_same_network(journal, in_folder):
    _, path = freeze(journal, number=0, name="mine")
    line = CertificateLine(
        data="digits", recipe="r", metric="accuracy", images=9, accuracy=0.9, sd=0.1, n=3, level=0.95, finalists=1,
        random_networks=0, choosing_seeds=[1, 2, 3], judging_seeds=[4, 5, 6], family=False, date="2026-11-25",
        versions={}, table=[],
    )  # fmt: skip
    save_part(replace(nas.load(path), certificate=line), path, "certificate")
    freeze(journal, number=0, name="mine", force=True)
    assert nas.load(path).certificate == line
    other = next(t.number for t in journal.ended() if t.scored and t.key != journal.trials[0].key)
    freeze(journal, number=other, name="mine", force=True)
    assert nas.load(path).certificate is None


def test_output_names_the_file(journal, in_folder):
    baseline, path = freeze(journal, name="mine", output=Path("some/where/winner.yml"))
    assert nas.load("some/where/winner.yml").name == baseline.name == "mine"
    assert path == Path("some/where/winner.yml")


@pytest.mark.parametrize("name", ["../mine", "/tmp/mine", "a b", ".hidden", "a" * 200, "no\nname"])
def test_a_name_that_leaves_its_folder_is_refused(journal, in_folder, name):
    before = sorted(in_folder.rglob("*"))
    with pytest.raises(NasError, match=r"name is .*; give up to 128 letters"):
        freeze(journal, name=name)
    assert sorted(in_folder.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_one_sentence(journal, in_folder):
    (in_folder / "file").write_text("")
    with pytest.raises(
        NasError, match=r"file/winner\.yml: cannot be written \(.*\); choose another --output"
    ):
        freeze(journal, output=Path("file/winner.yml"))


# Its data


def test_a_journal_that_names_the_trials_file_is_one_of_ours():
    options = options_of("/x/nas/search/trial.py --data digits --epochs 3")
    assert options is not None
    assert (options.data, options.epochs) == ("digits", 3)
    assert options_of("/x/my/trial.py --data digits") is None


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("python -m nas.search.trial --data digits --epochs 3", ("digits", None)),
        ("python -m nas.search.trial --epochs 3 --data cifar10 --data-dir 'my data'", ("cifar10", "my data")),
        ("python -m nas.search.trial --data=npz:x.npz", ("npz:x.npz", None)),
        ("/x/nas/search/trial.py --data digits --space tiny", ("digits", None)),  # under NNI's own tuners
        ("python -u /x/nas/search/trial.py --data digits", ("digits", None)),
        ("./evaluate.sh", (None, None)),
        (None, (None, None)),
    ],
)
def test_the_data_is_that_of_the_trials(make_run, command, data):
    assert data_of(make_run(command=command)) == data


# In full


def test_trained_in_full_on_everything_but_the_test_split_which_is_looked_at_once(
    make_run, in_folder, images, monkeypatch
):
    import nas.data
    import nas.evaluation

    looked: list[str] = []
    split = nas.data.Data.split

    def looking(self: nas.data.Data, name: str) -> Any:
        looked.append(name)
        return split(self, name)

    evaluated: list[str] = []
    evaluate = nas.evaluation.evaluate

    def evaluating(net: Any, data: Any, split: str = "val", **options: Any) -> float:
        evaluated.append(split)
        return evaluate(net, data, split, **options)

    monkeypatch.setattr(nas.data.Data, "split", looking)
    monkeypatch.setattr(nas.evaluation, "evaluate", evaluating)
    baseline, path = freeze(make_run(complete(0.5)), name="full")
    epochs: list[int] = []
    measured = train_in_full(
        baseline, path, f"npz:{images}", None, 3, in_folder / "full.safetensors",
        report=lambda epoch, metrics: epochs.append(epoch),
    )  # fmt: skip
    assert evaluated == ["test"]
    assert set(looked) == {"trainval", "test"}
    assert epochs == [1, 2, 3]
    assert measured.facts is not None
    assert measured.facts.accuracy is not None
    assert 0 <= measured.facts.accuracy <= 1
    assert (measured.facts.recipe or "").startswith("3 epochs on train + val, sgd, lr ")
    assert nas.load(path) == measured

    from nas.weights import load_network, read_weights

    net = load_network(measured.architecture, in_folder / "full.safetensors")
    data = nas.data.load_data(f"npz:{images}", resolution=8)
    assert evaluate(net, data, "test") == measured.facts.accuracy
    facts = read_weights(in_folder / "full.safetensors")[1]
    split = data.split("trainval")
    assert (facts.mean, facts.std) == split.statistics
    assert (facts.baseline, facts.data, facts.epochs) == ("full", f"npz:{images}", 3)
    assert (facts.accuracy, facts.scored, facts.recipe) == (
        measured.facts.accuracy, "test", measured.facts.recipe
    )  # fmt: skip
    assert (facts.class_names, facts.key) == (data.class_names, net.architecture.key)
    assert (facts.crop_pct, facts.crop_mode, facts.interpolation) == split.resizing

    from nas.exporting import export_model

    export_model(str(path), "hub", in_folder / "full.safetensors", in_folder / "out")
    page = (in_folder / "out" / "README.md").read_text()
    assert f"| accuracy | {facts.accuracy:.4f} on test |" in page
    assert f"mean {facts.mean[0]:.4g}; standard deviation {facts.std[0]:.4g}." in page
