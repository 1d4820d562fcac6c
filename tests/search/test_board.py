"""What TensorBoard shows is what the journal says, read back with TensorBoard's own reader."""

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import nas.search.board as board
import nas.search.verdict_board as verdict_board
from nas.search.board import StudyBoard, TrialBoard
from nas.search.finding import subject_of
from nas.search.journal import Trial
from nas.search.known import Known
from nas.search.pictures import choices_figure, pareto_figure, pareto_front
from nas.search.runs import trial_directory
from nas.search.settings import RewardSettings
from nas.search.verdict_board import write_certificate, write_known

pytestmark = pytest.mark.drawn

RESULTS = [
    ("complete", {"accuracy": 0.5, "reward": 0.55, "seconds": 3.0}),
    ("failed", {"reason": "diverged"}),
    ("complete", {"accuracy": 0.7, "reward": 0.72, "seconds": 4.0}),
    ("stopped", {"accuracy": 0.9, "reward": 0.95}),
    ("complete", {"accuracy": 0.6, "reward": 0.61, "seconds": 5.0}),
    ("rejected", {"reason": "over a limit"}),
]


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    found.Reload()
    return found


def scalars(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in found.Scalars(tag)]


def text(found: EventAccumulator, tag: str) -> str:
    return found.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


@pytest.fixture
def study(make_run):
    """The study of a short search, written after every result."""
    journal = make_run(*RESULTS)
    shown = StudyBoard(journal.path.parent, journal)
    assert shown.update() == len(RESULTS)
    shown.close()
    return journal, events(journal.path.parent / "study")


# The study


def test_a_scalar_for_every_result(study):
    journal, found = study
    assert scalars(found, "search/accuracy") == [(1, 0.5), (3, 0.7), (4, 0.9), (5, 0.6)]
    assert scalars(found, "search/reward") == [(1, 0.55), (3, 0.72), (4, 0.95), (5, 0.61)]
    macs = [trial.macs / 1e6 for trial in journal.ended()]
    assert scalars(found, "search/multiply-adds (M)") == list(enumerate(macs, 1))


def test_the_best_reward_never_falls_and_counts_full_evaluations_alone(study):
    _, found = study
    assert scalars(found, "search/best reward") == [
        (1, 0.55),
        (2, 0.55),
        (3, 0.72),
        (4, 0.72),
        (5, 0.72),
        (6, 0.72),
    ]


def test_pictures_of_the_search(study):
    _, found = study
    for tag in ("search/pareto", "search/choices"):
        (image,) = found.Images(tag)
        assert image.step == len(RESULTS)
        assert image.encoded_image_string.startswith(b"\x89PNG")
        assert min(image.width, image.height) > 200


def test_the_best_networks_stage_table_and_the_settings(study, tiny):
    journal, found = study
    best = journal.best()
    table = text(found, "best network")
    assert table.startswith("trial 2: reward 0.7200, accuracy 0.7000")
    assert f"{tiny.decode(best.sample).macs:,} multiply-adds" in table
    settings = text(found, "run")
    for words in (
        "tiny",
        "'target': 60000",
        "`python -m nas.search.trial --data digits --epochs 3`",
        "40, 2 at a time",
    ):
        assert words in settings


def test_results_are_added_as_they_come(make_run):
    journal = make_run(RESULTS[0], ("running", {}))
    shown = StudyBoard(journal.path.parent, journal)
    assert (shown.update(), shown.update()) == (1, 1)
    journal.told(1, "complete", accuracy=0.8, reward=0.8)
    assert shown.update() == 2
    shown.close()
    found = events(journal.path.parent / "study")
    assert scalars(found, "search/reward") == [(1, 0.55), (2, 0.8)]
    assert [image.step for image in found.Images("search/pareto")] == [1, 2]


def test_a_resumed_search_is_drawn_anew(make_run):
    journal = make_run(*RESULTS[:3])
    for _ in range(2):
        shown = StudyBoard(journal.path.parent, journal)
        shown.update()
        shown.close()
    assert len(events(journal.path.parent / "study").Scalars("search/reward")) == 2


def test_another_process_goes_on_where_the_last_ended(make_run):
    """Under NNI's own tuners every trial adds its own result."""
    journal = make_run(*RESULTS[:3])
    first = StudyBoard(journal.path.parent, journal)
    shown = first.update()
    first.close()
    number = journal.asked(journal.trials[0].sample, "new", macs=5)
    journal.told(number, "complete", accuracy=0.9, reward=0.9)
    second = StudyBoard(journal.path.parent, journal, shown)
    assert second.update() == 4
    second.close()
    assert scalars(events(journal.path.parent / "study"), "search/reward") == [(1, 0.55), (3, 0.72), (4, 0.9)]


def test_a_long_search_is_drawn_now_and_then(make_run, monkeypatch):
    drawn = []
    monkeypatch.setattr(StudyBoard, "_pictures", lambda self, step: drawn.append(step))
    journal = make_run(*[("running", {})] * 12, max_trials=160)
    shown = StudyBoard(journal.path.parent, journal)
    for number in range(12):
        journal.told(number, "complete", accuracy=0.5, reward=0.5)
        shown.update()
    shown.close()
    assert drawn == [4, 8, 12]  # 160 trials make 40 pictures


def test_pictures_wait_where_they_take_longer_than_the_trials(make_run, monkeypatch):
    now, drawn = [100.0], []

    def draw(self, step):
        drawn.append(step)
        now[0] += 2.0

    monkeypatch.setattr(StudyBoard, "_pictures", draw)
    monkeypatch.setattr(board.time, "monotonic", lambda: now[0])
    journal = make_run(*[("running", {})] * 12, max_trials=12)
    shown = StudyBoard(journal.path.parent, journal)
    for number in range(12):
        journal.told(number, "complete", accuracy=0.5, reward=0.5)
        shown.update()
        now[0] += 5.0
    assert drawn == [1, 9]  # 2 s to draw, and 20 times as long until the next
    shown.close()
    assert drawn == [1, 9, 12]


def test_a_search_without_a_result_writes_nothing(make_run):
    journal = make_run(("running", {}))
    shown = StudyBoard(journal.path.parent, journal)
    assert shown.update() == 0
    shown.close()
    assert not (journal.path.parent / "study").exists()


def test_a_search_in_which_all_fail_is_shown(make_run):
    journal = make_run(*[("failed", {"reason": "why"})] * 2)
    shown = StudyBoard(journal.path.parent, journal)
    assert shown.update() == 2
    shown.close()
    found = events(journal.path.parent / "study")
    assert "search/best reward" not in found.Tags()["scalars"]
    assert found.Images("search/pareto")


def test_a_space_without_choices_is_shown(make_run, document):
    stage = {"op": "conv", "kernel": 3, "channels": 8}
    journal = make_run(document=document | {"stages": [stage]})
    journal.told(journal.asked({}, "only", macs=10), "complete", accuracy=0.5, reward=0.5)
    shown = StudyBoard(journal.path.parent, journal)
    assert shown.update() == 1
    shown.close()
    assert "search/choices" not in events(journal.path.parent / "study").Tags()["images"]


def test_the_space_is_that_of_the_data(make_run):
    space = subject_of(make_run(classes=10, in_chans=3).run).space
    assert (space.frame.head.classes, space.frame.stem.in_chans) == (10, 3)


# Trials


def test_a_trial_has_its_curves_and_its_line_of_the_hparams_page(make_run, tiny, tmp_path):
    journal = make_run(RESULTS[0])
    trial = journal.trials[0]
    shown = TrialBoard(trial_directory(journal.path.parent, 0))
    for epoch in (1, 2):
        shown.epoch(epoch, {"loss": 1 / epoch, "accuracy": epoch / 4, "seconds": 9.0})
    shown.end(trial, tiny.choices)

    found = events(journal.path.parent / "trials" / "000")
    assert scalars(found, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert scalars(found, "train/accuracy") == [(1, 0.25), (2, 0.5)]
    assert "train/seconds" not in found.Tags()["scalars"]
    for name in ("reward", "accuracy", "macs", "params", "seconds"):
        assert scalars(found, f"trial result/{name}") == [(0, getattr(trial, name))]

    content = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(data)
        for tag, data in found.PluginTagToContent(metadata.PLUGIN_NAME).items()
    }
    written = content[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    values = {name: value.string_value or value.number_value for name, value in written.items()}
    assert values == trial.sample | {"state": "complete"}
    metrics = {info.name.tag for info in content[metadata.EXPERIMENT_TAG].experiment.metric_infos}
    assert metrics == {f"trial result/{name}" for name in ("reward", "accuracy", "macs", "params", "seconds")}


def test_a_trial_that_was_not_trained_has_its_line_too(make_run, tiny):
    journal = make_run(RESULTS[5])
    shown = TrialBoard(trial_directory(journal.path.parent, 0))
    shown.end(journal.trials[0], tiny.choices)
    found = events(journal.path.parent / "trials" / "000")
    assert metadata.SESSION_START_INFO_TAG in found.PluginTagToContent(metadata.PLUGIN_NAME)
    assert "trial result/reward" not in found.Tags()["scalars"]


# Disks


class FullWriter:
    """A SummaryWriter whose disk is full."""

    def __init__(self, *_: object) -> None:
        self.file_writer = self

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return fail


@pytest.mark.parametrize("trouble", ["full", "in the way"])
def test_a_disk_costs_pictures_and_never_the_search(make_run, tiny, monkeypatch, caplog, trouble):
    journal = make_run(RESULTS[0])
    run = journal.path.parent
    if trouble == "full":
        monkeypatch.setattr(board, "_writer", FullWriter)
    else:
        (run / "study").write_text("a file")
        (run / "trials").write_text("a file")
    study = StudyBoard(run, journal)
    study.update()
    study.close()
    trial = TrialBoard(trial_directory(run, 0))
    trial.epoch(1, {"loss": 1.0})
    trial.end(journal.trials[0], tiny.choices)
    assert caplog.text.count("TensorBoard's files were not written") >= 3


# Pictures


def trial(
    number: int, macs: int, accuracy: float, state: str = "complete", reward: float | None = 0.5
) -> Trial:
    return Trial(number, {"a.b": 1}, str(number), state, accuracy, reward if accuracy else None, macs, 10)


def test_the_front_is_what_no_other_beats():
    """By hand: (macs, accuracy) of the second is beaten by the first, of the fifth by the fourth."""
    trials = [
        trial(0, 10, 0.5), trial(1, 20, 0.4), trial(2, 20, 0.6), trial(3, 40, 0.8), trial(4, 50, 0.8),
        trial(5, 10, 0.3),
    ]  # fmt: skip
    assert [t.number for t in pareto_front(trials)] == [0, 2, 3]
    assert pareto_front([]) == []


CASES = {
    "empty": [],
    "one": [trial(0, 10_000, 0.5)],
    "stopped alone": [trial(0, 10_000, 0.5, "stopped")],
    "failed alone": [Trial(0, {"a.b": 1}, "0", "failed", macs=10_000, reason="why")],
    "all alike": [trial(n, 10_000, 0.5) for n in range(3)],
    "many": [
        trial(n, 10_000 * (n + 1), n / 20, "stopped" if n % 3 == 1 else "complete") for n in range(1, 15)
    ],
}


@pytest.mark.parametrize(
    "reward", [RewardSettings(), RewardSettings(form="hard"), RewardSettings(form=(0, -0.5))]
)
@pytest.mark.parametrize("case", CASES)
def test_any_search_has_a_picture(case, reward):
    figure = pareto_figure(CASES[case], 60_000, reward)
    figure.canvas.draw()
    axes = figure.axes[0]
    labels = [entry.get_text() for legend in figure.legends for entry in legend.get_texts()]
    assert "target 0.06M" in labels
    assert ("Pareto front" in labels) == any(t.scored for t in CASES[case])
    assert ("stopped early (at least this)" in labels) == any(t.state == "stopped" for t in CASES[case])
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("case", CASES)
def test_any_search_has_a_picture_of_its_choices(case):
    choices_figure(CASES[case], {"a.b": (1, 2)}).canvas.draw()


def test_the_picture_of_choices_shows_shares_of_the_last_proposals(make_run, tiny):
    """Of 3 conv, then 1 dsconv: the first value's share is 1, 1, 1, 3/4, and in a window of 2 the last is 1/2."""
    values = ["conv", "conv", "conv", "dsconv"]
    trials = [Trial(n, {"stage1.op": value}, str(n), "failed") for n, value in enumerate(values)]
    for window, share in ((10, 0.75), (2, 0.5)):
        figure = choices_figure(trials, {"stage1.op": ("conv", "dsconv")}, window)
        lower = figure.axes[0].collections[0].get_paths()[0].vertices
        assert np.max(lower[lower[:, 0] == 4][:, 1]) == pytest.approx(share)
        assert np.max(lower[lower[:, 0] == 1][:, 1]) == pytest.approx(1)


def test_the_line_of_equal_reward_goes_through_the_best():
    best = trial(0, 40_000, 0.8, reward=0.8 * (40 / 60) ** -0.07)
    figure = pareto_figure([best, trial(1, 90_000, 0.7, reward=0.6)], 60_000, RewardSettings())
    line = next(line for line in figure.axes[0].lines if line.get_label() == "equal reward")
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    assert np.interp(0.04, x, y) == pytest.approx(0.8, abs=1e-4)
    assert np.all(np.diff(y) > 0)  # dearer networks must be more accurate


# Known answers and the certificate


def answers(run: Path) -> None:
    found = [
        Known("efficientnet-b0", {}, 50_000, accuracy=0.75, reward=0.7, peers=12, by_accuracy=41.7, by_reward=50.0),
        Known("mnasnet-a1", off="stage1.se 0.25 is not in the space"),
    ]  # fmt: skip
    (run / "known.json").write_text(json.dumps([asdict(one) for one in found]))


def verdict(run: Path, margin: float) -> None:
    network = {"key": "k", "macs": 50_000, "params": 10}
    contrast = {
        "rival": "runner-up",
        "margin": margin,
        "low": margin - 0.01,
        "high": margin + 0.01,
        "n": [3, 3],
    }
    document = {
        "format": 1, "run": "abc123", "space": "tiny", "data": "digits", "winner": {"trial": 2, **network},
        "proxy_winner": 2, "recipe": "cifar", "level": 0.95, "seeds": {"choose": [1], "judge": [2]},
        "finalists": [{"of": "search", "trial": 2, **network, "proxy": 0.7, "val": [0.8], "reward": 0.8}],
        "random": {"networks": 0}, "judged": [{"name": "winner", **network, "test": [0.8, 0.81, 0.82]}],
        "contrasts": [contrast | {"distinguishable": True}], "seconds": {"random": 0, "finalists": 1, "judged": 2},
    }  # fmt: skip
    (run / "certificate").mkdir(exist_ok=True)
    (run / "certificate" / "certificate.json").write_text(json.dumps(document))


def test_known_answers_are_shown_and_replaced(make_run):
    run = make_run(*RESULTS).path.parent
    write_known(run)
    assert not (run / "known").exists()
    answers(run)
    for _ in range(2):
        write_known(run)
        found = events(run / "known")
        assert scalars(found, "known accuracy/efficientnet-b0") == [(0, 0.75)]
        assert scalars(found, "known better by accuracy than (%)/efficientnet-b0") == [(0, 41.7)]
        assert len(found.Images("known answers")) == 1
    assert "known accuracy/mnasnet-a1" not in found.Tags()["scalars"]
    shown = text(found, "known answers")
    assert "| efficientnet-b0 | 50k | 0.7500 | 0.7000 | 12 | 42 % | 50 % |" in shown
    assert "mnasnet-a1: the space has no network of its shape (stage1.se 0.25 is not in the space)." in shown
    assert "lower half of networks of its cost" in shown


def test_the_certificate_is_shown_and_replaced(make_run):
    run = make_run(*RESULTS).path.parent
    write_certificate(run)
    assert not (run / "verdict").exists()
    for margin in (0.02, 0.03):
        verdict(run, margin)
        write_certificate(run)
        found = events(run / "verdict")
        assert scalars(found, "margin of the winner (points)/runner-up") == [(0, 100 * margin)]
        assert f"better than runner-up: +{100 * margin:.2f} points" in text(found, "certificate")
        assert len(found.Images("certificate")) == 1
    assert (run / "certificate" / "certificate.json").is_file()


@pytest.mark.parametrize("trouble", ["full", "in the way", "damaged"])
def test_verdicts_cost_pictures_and_never_the_run(make_run, monkeypatch, caplog, trouble):
    run = make_run(*RESULTS).path.parent
    answers(run)
    verdict(run, 0.02)
    if trouble == "full":
        monkeypatch.setattr(verdict_board, "_writer", FullWriter)
    elif trouble == "in the way":
        for name in ("known", "verdict"):
            (run / name).write_text("a file")
    else:
        (run / "known.json").write_text('[{"name": "x", "accuracy": "much"}]')
        (run / "certificate" / "certificate.json").write_text("{")
    write_known(run)
    write_certificate(run)
    said = "does not show it" if trouble == "damaged" else "files were not written"
    assert caplog.text.count(said) == 2


def test_known_answers_lie_in_the_picture_of_the_search():
    known = [
        Known("first", {}, 20_000, accuracy=0.7),
        Known("second", {}, 21_000, accuracy=0.7),
        Known("c", off="why"),
    ]
    figure = pareto_figure(CASES["many"], 60_000, RewardSettings(), known=known)
    figure.canvas.draw()
    marks = [dots for dots in figure.axes[0].collections if dots.get_label() == "known answer"]
    assert np.asarray(marks[0].get_offsets()).tolist() == [[0.02, 0.7], [0.021, 0.7]]
    names = [note for note in figure.axes[0].texts if note.get_text()]
    assert [note.get_text() for note in names] == ["first", "second"]
    first, second = (note.get_bbox_patch().get_window_extent() for note in names)
    assert not first.overlaps(second)
    pareto_figure([], 60_000, RewardSettings(), known=known).canvas.draw()
