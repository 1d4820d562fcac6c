"""`nas init`: a space for any pixels, what a budget buys, and the files for images of one's own."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import nas
from nas import init_job
from nas.budget import LEAST_TRIALS, Costs, chosen, measured
from nas.cli import app
from nas.drafting import default_target, draft, halvings, space_text
from nas.errors import NasError
from nas.search.config import SearchConfig
from nas.search.timing import Timed


@pytest.mark.parametrize(
    ("pixels", "target"),
    [(8, 700_000), (28, 6_000_000), (32, 1_000_000), (32, 6_000_000), (64, 32_650_000), (96, 5_000_000),
     (224, 10_000_000), (224, 400_000_000)],
)  # fmt: skip
def test_a_drafted_space_has_its_median_network_near_the_target(pixels, target):
    space = draft("x", pixels, 3, 7, target)
    median = np.median(space.costs.of_random(4096, seed=1)[1])
    assert abs(math.log(median / target)) < math.log(1.35)
    assert space.target == target
    assert space.frame.heights()[-1] >= 4
    assert (space.frame.head.classes, space.frame.stem.in_chans) == (7, 3)
    assert space.size > 1e5
    reread = nas.SearchSpace.from_data(yaml.safe_load(space_text(space)))
    assert reread.sha256 == space.sha256


def test_at_b0s_size_it_is_mnasnets_shape():
    space, mnasnet = draft("x", 224, 3, 1000, 400_000_000), nas.SearchSpace.load("mnasnet")
    strides = [stage.line.stride for stage in mnasnet.stages]
    assert [stage.line.stride for stage in space.stages] == strides
    assert default_target(224) == 400_000_000
    assert halvings(224) == 5


def test_a_target_out_of_reach_is_told_with_what_is_not():
    with pytest.raises(
        NasError, match=r"no space of 64 x 64 pixels .* near 1,000 .* give --macs \d+ or another --res"
    ):
        draft("x", 64, 3, 10, 1000)


def costs(step: float = 0.01, start: float = 4.0, concurrency: int = 2) -> Costs:
    cheap, dear = Timed(start, step, 100, 0.0, 0), Timed(start, 3 * step, 100, 0.0, 0)
    return Costs((1e6, 3e6), (cheap, dear), 2e6, concurrency)


def test_time_is_between_the_two_networks_in_proportion():
    assert costs().trial(epochs=3) == pytest.approx(4 + 3 * 2)
    assert costs().trials(hours=1, epochs=3) == 720
    assert costs().hours(720, epochs=3) == pytest.approx(1)


@pytest.mark.parametrize(
    ("hours", "epochs", "expected"),
    [(None, None, (8, 100)), (None, 3, (3, 100)), (1, None, (16, 200)), (0.2, None, (8, 72)), (0.05, None, (5, 25)),
     (1, 5, (5, 514)), (1000, None, (16, 10_000))],
)  # fmt: skip
def test_the_longest_trials_of_which_the_hours_buy_enough(hours, epochs, expected):
    assert chosen(costs(), hours, epochs, 2_000_000) == expected


def test_too_few_hours_are_refused_with_what_would_do():
    with pytest.raises(NasError) as caught:
        chosen(costs(), 0.09, 16, 2_000_000)
    sentence = str(caught.value)
    assert sentence.startswith("0.09 hours buy 18 trials of 16 epochs (36 s each, 2 at a time)")
    assert "--epochs 12" in sentence
    hours = float(sentence.partition("--hours ")[2].split()[0])
    assert costs().trials(hours, 16) >= LEAST_TRIALS
    smaller = int(sentence.partition("--macs ")[2].split()[0])
    assert 1_500_000 < smaller < 2_000_000


def test_a_real_network_is_timed(tmp_path):
    path = tmp_path / "space.yml"
    path.write_text(space_text(draft("x", 8, 1, 10, 300_000)))
    found = measured(nas.SearchSpace.load(path), path, "digits", {"device": "cpu"}, 2, seconds=0.2)
    assert found.ends[0] < found.macs < found.ends[1]
    for timed in found.timed:
        assert timed.steps == 17
        assert timed.images == 359
        assert timed.start > 0 < timed.step
    with pytest.raises(NasError, match=r"a trial cannot run here: npz:/nowhere.npz: there is no such file"):
        measured(nas.SearchSpace.load(path), path, "npz:/nowhere.npz", {"device": "cpu"}, 1, seconds=0.1)
    with pytest.raises(
        NasError, match=r"does not get through four batches in 1 s here: .* give fewer --macs"
    ):
        measured(nas.SearchSpace.load(path), path, "digits", {"device": "cpu"}, 1, patience=1.0)


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(init_job, "measured", lambda *_: costs(concurrency=2))


def run(*words: object) -> tuple[int, str]:
    """Exit code, and what it printed or raised."""
    found = CliRunner().invoke(app, ["init", *map(str, words)])
    if isinstance(found.exception, NasError):
        return 2, str(found.exception)
    return found.exit_code, found.output


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("python", ["/home/jane doe/it's/python", "/opt/a: b #c/python", "C:\\x\\python"])
def test_any_path_of_python_is_a_command_that_can_be_read(in_folder, monkeypatch, python):
    monkeypatch.setattr(init_job.sys, "executable", python)
    assert run("--data", "digits", "--macs", "300k")[0] == 0
    config = SearchConfig.read(Path("digits/search.yml"))
    assert shlex.split(config.data["trialCommand"])[:3] == [python, "-m", "nas.search.trial"]


@pytest.mark.usefixtures("_quick")
def test_a_line_break_in_a_folders_name_stays_in_the_comment(in_folder):
    rng = np.random.default_rng(0)
    for n in range(20):
        path = in_folder / "a\nb: c" / f"class{n % 2}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(path)
    code, out = run("--data", "folder:a\nb: c", "--output", "own", "--workers", 0)
    assert code == 0, out
    assert SearchConfig.read(Path("own/search.yml")).trial.epochs


def test_a_relative_data_dir_is_the_same_for_timing_and_trials(in_folder, monkeypatch):
    seen = []
    monkeypatch.setattr(init_job, "measured", lambda *given: (seen.append(given[3]), costs())[1])
    folder = in_folder / "kept"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 100), ("test", 20)):
        arrays |= {
            f"x_{part}": rng.integers(0, 255, (n, 32, 32, 3), np.uint8),
            f"y_{part}": np.arange(n) % 10,
        }
    np.savez(folder / "cifar10.npz", **arrays)
    code, out = run("--data", "cifar10", "--data-dir", "kept", "--macs", "1M")
    assert code == 0, out
    assert (
        seen[0]["data_dir"] == json.loads(Path("cifar10/split.json").read_text())["data_dir"] == str(folder)
    )


@pytest.mark.usefixtures("_quick")
def test_its_files_are_a_search_that_can_begin(in_folder):
    code, out = run("--data", "digits", "--hours", 1, "--macs", "300k")
    assert code == 0, out
    assert sorted(path.name for path in Path("digits").iterdir()) == ["search.yml", "space.yml", "split.json"]
    config = SearchConfig.read(Path("digits/search.yml"))
    assert config.trials == 200
    assert config.trial.epochs == 16
    assert config.subject.target == 300_000
    split = json.loads(Path("digits/split.json").read_text())
    assert [len(split[part]) for part in ("train", "val", "test")] == [1079, 359, 359]
    for words in (
        "1,797 images",
        "metric: accuracy",
        "T = 300k",
        "the search has 200",
        "nas search digits/search.yml",
    ):
        assert words in out
    code, sentence = run("--data", "digits")
    assert (code, sentence) == (
        2, "digits/split.json exists; choose another --output, or give --force to replace it",
    )  # fmt: skip
    assert run("--data", "digits", "--force")[0] == 0


def test_an_output_that_cannot_be_made_is_refused_before_anything_is_read(in_folder):
    Path("taken").write_text("")
    assert run("--data", "digits", "--output", "taken/x") == (
        2, f"taken/x: cannot be made ({in_folder / 'taken'} is no folder); choose another --output",
    )  # fmt: skip


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "digit"), "data is 'digit', which is no data set (did you mean 'digits'?)"),
        (("--data", "folder:nowhere"), "nowhere: there is no such folder"),
        (
            ("--data", "digits", "--hours", 0.001),
            "0.001 hours buy 1 trials of 1 epoch (6 s each, 2 at a time)",
        ),
        (("--data", "digits", "--hours", "nan"), "--hours is nan; give hours over 0"),
        (("--data", "digits", "--macs", "lots"), "--macs is 'lots'; give a whole number"),
        (("--data", "digits", "--macs", "0"), "--macs is 0; give multiply-adds over 0"),
        (("--data", "digits", "--metric", "f1"), "--metric is 'f1'; allowed: accuracy, balanced"),
        (("--data", "digits", "--output", "a b"), "name is 'a b'; give up to 128 letters"),
        (("--data", "split:x.json"), "data is 'split:x.json', which is a split already"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(in_folder, words, sentence):
    code, found = run(*words)
    assert code == 2
    assert sentence in found
    assert list(in_folder.iterdir()) == []
