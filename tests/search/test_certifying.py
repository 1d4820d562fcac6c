"""A certificate: who is retrained, who is chosen, who is judged with which seeds, and what is written of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rich.console import Console

import nas
from nas import NasError, SearchSpace, certify_request
from nas.baseline import from_document
from nas.certificate_report import sentences
from nas.certify_job import run_certificate
from nas.certify_request import Request, searched
from nas.data import load_data
from nas.documents import BaselineDocument
from nas.evaluation import accuracy_of, evaluate, image_weights, right
from nas.rivals import REFERENCES, halvings, off, rival
from nas.search import trainings as trainings_module
from nas.search.certificate_file import FILE
from nas.search.certifying import Finalist, changes, drawn, larger, ranked
from nas.search.data_file import fingerprint
from nas.search.full_length import fully_trained, packed, unpacked
from nas.search.journal import Journal
from nas.search.runs import CONFIG
from nas.search.settings import Limits
from nas.search.winner import freeze
from nas.training import TrainingConfig, train

QUIET = Console(quiet=True)


class Asked(list[dict[str, Any]]):
    """What was trained. Accuracy is `quality` of the network, and its luck with the seed; at training `stop` the user
    interrupts; networks of `failing` multiply-adds fail."""

    stop: int | None = None
    luck: float = 0.002
    failing: tuple[int, ...] = ()
    images = 100_000

    def quality(self, macs: int) -> float:
        """More multiply-adds are better."""
        return 0.7 + 0.02 * np.log(macs / 60_000)


@pytest.fixture
def trained(pooled: Any) -> Asked:
    asked = Asked()

    def answer(work: dict[str, Any]) -> dict[str, Any]:
        asked.append(work)
        if len(asked) == asked.stop:
            raise KeyboardInterrupt
        if "network" in work:
            arch = from_document(BaselineDocument.parse(work["network"], "network")).architecture
        else:
            arch = SearchSpace.from_data(work["space"]).decode(work["sample"])
        if arch.macs in asked.failing:
            return {"failed": "diverged"}
        rng = np.random.default_rng([work["config"]["seed"], arch.macs])
        accuracy = float(asked.quality(arch.macs) + rng.normal(0, asked.luck))
        hits = np.arange(asked.images) < accuracy * asked.images  # the same images are easy for all
        return {"accuracy": accuracy, "seconds": 2.0, "hits": packed(hits)}

    pooled(answer)
    return asked


@pytest.fixture
def run(make_run, trained, tiny, monkeypatch, tmp_path) -> Journal:
    """A finished search of 12 networks, whose proxy adds luck of its own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    journal = make_run(*[("complete", {"accuracy": 0.0, "reward": 0.0})] * 12, name="abc123")
    found = make_run(name="real42")
    for trial in journal.ended():
        number = found.asked(trial.sample, trial.key, macs=trial.macs, params=trial.params, seen=0)
        accuracy = float(trained.quality(trial.macs) + rng.normal(0, 0.004))
        reward = accuracy * (trial.macs / 60_000) ** -0.07
        found.told(number, "complete", accuracy=accuracy, reward=reward, macs=trial.macs, params=trial.params,
                   seconds=3.0)  # fmt: skip
    return found


def request(**changes: Any) -> Request:
    return Request(**{"run": "runs/real42", "top": 3, "device": "cpu"} | changes)


# Rivals


@pytest.mark.parametrize("space", ["digits", "cifar", "mnasnet"])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_rival_is_the_published_network_at_the_winners_cost(space, name):
    found = SearchSpace.load(space)
    one = found.decode(found.sample(np.random.default_rng(0)))
    other = rival(name, one)
    assert off(other, one) < 0.03
    assert other.resolution == one.resolution
    assert halvings(other) == halvings(one)
    assert (other.head.classes, other.stem.in_chans) == (one.head.classes, one.stem.in_chans)
    own = nas.load(name).architecture
    assert [stage.op for stage in other.stages] == [stage.op for stage in own.stages]
    assert [stage.kernel for stage in other.stages] == [stage.kernel for stage in own.stages]


def test_a_rival_that_cannot_be_as_cheap_is_the_least_of_its_shape(tiny):
    one = tiny.decode(tiny.sample(np.random.default_rng(0)))
    other = rival("efficientnet-b0", one)
    assert other.macs > one.macs
    assert {stage.channels for stage in other.stages} == {8}
    assert {stage.layers for stage in other.stages} == {1}


def test_a_rival_of_its_own_size_is_the_network_itself():
    b0 = nas.load("efficientnet-b0").architecture
    assert rival("efficientnet-b0", b0).key == b0.key


# Choosing


def test_random_networks_are_distinct_and_within_limits(tiny):
    limits = Limits(macs=100_000)
    found = drawn(tiny, limits, 20, seed=1)
    assert len({arch.key for _, arch in found}) == 20
    assert max(arch.macs for _, arch in found) <= 100_000
    assert drawn(tiny, limits, 20, seed=1) == found
    assert drawn(tiny, limits, 20, seed=2) != found
    every = {tiny.decode(tiny.sample(np.random.default_rng(n))).key for n in range(3000)}
    assert {arch.key for _, arch in drawn(tiny, Limits(), 10_000, seed=1)} == every


def test_the_family_may_choose_another_network(tiny):
    rng = np.random.default_rng(0)
    first, second = (tiny.decode(tiny.sample(rng)) for _ in range(2))
    one = Finalist("search", 0, {}, first, 0.5, 1.0, (0.90, 0.91, 0.80), first, (0.92, 0.92, 0.92))
    other = Finalist("search", 1, {}, second, 0.5, 1.0, (0.89, 0.89, 0.89), second, (0.95, 0.95, 0.95))
    assert [found.trial for found in ranked([one, other], False)] == [1, 0]
    assert changes([one, other]) == (2, 3)
    cheap = replace(one, factor=1.2, larger_factor=1.2)
    assert [found.trial for found in ranked([cheap, other], True)] == [0, 1]
    assert changes([cheap, other]) == (0, 3)
    failed = replace(one, val=(float("nan"),) * 3)
    assert ranked([failed, other], False) == [other]
    assert ranked([replace(one, twice=None, larger=()), other], True) == [other]


def test_the_larger_member_has_twice_the_cost():
    space = SearchSpace.load("cifar")
    arch = space.decode(space.sample(np.random.default_rng(1)))
    assert larger(arch, (1.2, 1.1, 1.15)).macs == pytest.approx(2 * arch.macs, rel=0.05)


# The certificate


def test_finalists_are_retrained_and_the_winner_judged_with_fresh_seeds(run, trained, tmp_path):
    found = run_certificate(QUIET, request())
    assert json.loads((tmp_path / "runs/real42/certificate" / FILE).read_text()) == json.loads(
        json.dumps(found)
    )
    short = [work for work in trained if "network" not in work]
    full = [work for work in trained if "network" in work]
    assert len(short) == found["random"]["networks"] == 12
    assert {work["config"]["epochs"] for work in short} == {3}
    assert {work["config"]["seed"] for work in short} == {7}
    assert {work["config"]["epochs"] for work in full} == {60}
    chose = {work["config"]["seed"] for work in full if work["config"]["split"] == "train"}
    judged = {work["config"]["seed"] for work in full if work["config"]["split"] == "trainval"}
    assert (chose, judged) == ({8, 9, 10}, {100_008, 100_009, 100_010})
    assert found["seeds"] == {"choose": [8, 9, 10], "judge": [100_008, 100_009, 100_010]}
    assert (found["metric"], found["images"]) == ("accuracy", 100_000)
    assert len({work["folder"] for work in full}) == len(full)

    own = [one for one in found["finalists"] if one["of"] == "search"]
    assert len(own) == 3
    best = max(own, key=lambda one: np.mean(one["val"]) * (one["macs"] / 60_000) ** -0.07)
    assert found["winner"]["trial"] == best["trial"]
    assert [one["name"] for one in found["judged"]][:3] == ["winner", "runner-up", "random search"]
    assert [one["name"] for one in found["judged"]][3:] == list(REFERENCES)
    by = {one["name"]: one for one in found["judged"]}
    for contrast in found["contrasts"]:
        other = by[contrast["rival"]]
        worth = (other["macs"] / by["winner"]["macs"]) ** -0.07 if contrast["by"] == "reward" else 1
        assert (contrast["by"] == "reward") == (contrast["rival"] in ("runner-up", "random search"))
        margin = np.mean(by["winner"]["test"]) - worth * np.mean(other["test"])
        assert contrast["margin"] == pytest.approx(margin)
        assert contrast["low"] < margin < contrast["high"]
    assert found["seconds"]["random"] == 24.0
    assert found["seconds"]["judged"] == 2.0 * len(
        [work for work in full if work["config"]["split"] == "trainval"]
    )


def test_it_goes_on_where_it_was_interrupted_and_trains_nothing_twice(run, trained, tmp_path):
    trained.stop = 20
    with pytest.raises(
        NasError, match="interrupted; nothing is lost: the same command with --resume goes on"
    ):
        run_certificate(QUIET, request())
    trained.stop = None
    with pytest.raises(NasError, match="certificate has a certificate already; go on with --resume"):
        run_certificate(QUIET, request())
    first = run_certificate(QUIET, request(resume=True))
    count = len(trained)
    assert run_certificate(QUIET, request(resume=True)) == first
    assert len(trained) == count
    names = [(work["folder"] if "network" in work else work["sample"]) for work in trained]
    assert len([name for name in names if names.count(name) > 1]) in (0, 2)  # the one that was interrupted
    with pytest.raises(
        NasError, match=r"has a certificate whose seeds is 3, and here it is 4; give the same"
    ):
        run_certificate(QUIET, request(resume=True, seeds=4))


def test_it_is_written_into_the_winners_document(run, trained, tmp_path):
    _, path = freeze(run)
    before = nas.load(path)
    found = run_certificate(QUIET, request())
    trial = found["winner"]["trial"]
    own = path if before.provenance.trial == trial else tmp_path / "tiny-real42-certified.yml"
    baseline = nas.load(own)
    line = baseline.certificate
    assert baseline.provenance.trial == trial
    assert line.accuracy == pytest.approx(np.mean(found["judged"][0]["test"]), abs=1e-5)
    assert [row.rival for row in line.table] == [one["name"] for one in found["judged"][1:]]
    assert {row.verdict for row in line.table} <= {
        "better",
        "worse",
        "not distinguishable",
        "the same network",
    }
    assert (line.n, line.judging_seeds, line.random_networks) == (3, [100_008, 100_009, 100_010], 12)
    assert (line.images, line.metric) == (100_000, "accuracy")
    assert nas.load(path).architecture == before.architecture
    run_certificate(QUIET, request(resume=True))
    assert nas.load(own) == baseline


def test_without_luck_the_truth_is_told(run, trained):
    trained.luck = 1e-5
    found = run_certificate(QUIET, request(no_random=True))
    text = "\n".join(sentences(found))
    assert "random search" not in [one["name"] for one in found["judged"]]
    assert "whether the search beats chance is not known" in text
    by = {one["rival"]: one for one in found["contrasts"]}
    cost = {one["name"]: one["macs"] for one in found["judged"]}
    for name in REFERENCES:
        assert by[name]["distinguishable"]
        assert (by[name]["margin"] > 0) == (cost["winner"] > cost[name])
    assert by["runner-up"]["margin"] > 0  # by reward, which it was chosen by


def test_a_winner_that_learnt_nothing_is_told(run, trained, monkeypatch):
    monkeypatch.setattr(Asked, "quality", lambda self, macs: 0.1)
    note = (
        "note: winner: no better than naming one class for every image, which gives 10.3 %: it learnt nothing"
    )
    assert note in sentences(run_certificate(QUIET, request()))
    monkeypatch.setattr(Asked, "quality", lambda self, macs: 0.2)
    assert note not in sentences(run_certificate(QUIET, request(out=Path("other"), force=True)))


def test_what_is_to_be_expected_is_told_before_anything_is_trained(run, trained):
    (run.path.parent / CONFIG).write_text('{"maxTrialNumber": 20}')
    trained.stop = 3
    console = Console(record=True, width=300)
    with pytest.raises(NasError, match="interrupted"):
        run_certificate(console, request(top=15, resume=True, epochs=1))
    text = console.export_text()
    assert (
        "the search has 12 of the 20 trials that it was asked for; nas search --resume real42 goes on" in text
    )
    assert "certificate has no training that has ended; this begins anew" in text
    networks = len({trial.key for trial in run.ended()})
    assert f"--top is 15, and the search has {networks} networks with an accuracy" in text
    assert f"up to {3 * (2 * networks + 6)} trainings of 1 epoch," in text
    assert re.search(r"the test has 359 images: differences up to about \d\.\d points are their luck", text)
    trained.stop = None
    again = Console(record=True, width=300)
    run_certificate(again, request(top=15, resume=True, epochs=1))
    lines = again.export_text()
    assert re.search(r"multiply-adds  choose, search's trial \d+, seed \d+: accuracy", lines)
    assert re.search(r"multiply-adds  judge, efficientnet-b0, seed \d+: accuracy", lines)
    assert "begins anew" not in lines


def test_with_luck_alone_nothing_is_told(run, trained, monkeypatch):
    trained.luck = 0.02
    monkeypatch.setattr(Asked, "quality", lambda self, macs: 0.7)
    found = run_certificate(QUIET, request(seeds=5))
    assert [one["rival"] for one in found["contrasts"] if one["distinguishable"]] == []
    assert sentences(found)[-1].startswith("the winner is not distinguishable from runner-up (to within ")


def test_failed_trainings_are_told_and_the_others_compared(run, trained):
    first = run_certificate(QUIET, request())
    macs = {one["name"]: one["macs"] for one in first["judged"]}
    trained.failing = (macs["mnasnet-a1"],)
    found = run_certificate(QUIET, request(out=run.path.parent / "again", force=True))
    rivals = [one["rival"] for one in found["contrasts"]]
    assert "mnasnet-a1" not in rivals
    assert "efficientnet-b0" in rivals
    assert "note: mnasnet-a1: 0 of its trainings gave an accuracy, too few" in sentences(found)
    trained.failing = tuple(one["macs"] for one in found["finalists"] if one["of"] == "search")
    with pytest.raises(
        NasError, match="no finalist of the search was trained to an accuracy; its journal says why"
    ):
        run_certificate(QUIET, request(out=run.path.parent / "third"))


def test_a_winner_that_fails_when_it_is_judged_is_told_and_written(run, trained, tmp_path, monkeypatch):
    first = run_certificate(QUIET, request(no_random=True))
    own, quality = first["winner"]["macs"], trained.quality

    def fails(self: Asked, macs: int) -> float:
        if macs == own and trained[-1]["config"]["split"] == "trainval":
            raise KeyboardInterrupt
        return quality(macs)

    trained.failing = ()
    monkeypatch.setattr(Asked, "quality", fails)
    with pytest.raises(NasError, match="interrupted"):
        run_certificate(QUIET, request(no_random=True, out=run.path.parent / "b"))
    trained.failing = (own,)
    found = run_certificate(
        QUIET, request(no_random=True, out=run.path.parent / "b", resume=True, force=True)
    )
    assert found["contrasts"] == []
    assert "note: winner: 0 of its trainings gave an accuracy, too few" in sentences(found)


def test_a_killed_training_is_tried_again_when_it_is_resumed(run, trained):
    found = run_certificate(QUIET, request())
    folder = run.path.parent / "certificate"
    journal = Journal(folder / "journal.jsonl")
    journal.refresh()
    other = Journal(run.path.parent / "again" / "journal.jsonl")
    other.start(**{k: v for k, v in journal.run.items() if k not in ("event", "time")})
    for number, trial in journal.trials.items():  # all was killed
        facts = {k: v for k, v in next(e for e in journal.events if e.get("number") == number).items()
                 if k not in ("event", "number", "sample", "key", "time")}  # fmt: skip
        other.asked(trial.sample, trial.key, **facts)
        other.told(number, "failed", reason=trainings_module.KILLED)
        if number > 100:
            break
    before = len(trained)
    again = run_certificate(QUIET, request(out=run.path.parent / "again", resume=True))
    assert len(trained) - before == before
    assert again["judged"] == found["judged"]


def test_another_certificate_takes_ones_place_only_by_force(run, trained):
    run_certificate(QUIET, request())
    out = run.path.parent / "second"
    with pytest.raises(
        NasError, match=r"has a certificate of .* by another protocol .*--resume --force to replace it"
    ):
        run_certificate(QUIET, request(seeds=4, out=out))
    found = run_certificate(QUIET, request(seeds=4, out=out, resume=True, force=True))
    assert nas.load(Path("tiny-real42.yml")).certificate.n == len(found["judged"][0]["test"]) == 4


def test_a_copy_changed_by_hand_is_not_certified(run, trained):
    found = run_certificate(QUIET, request())
    own = Path("tiny-real42.yml")
    text = own.read_text()
    copy = Path("a-mine.yml")  # before it in the alphabet
    changed = (
        text.replace("kernel: 3", "kernel: 5", 1)
        if "kernel: 3" in text
        else text.replace("kernel: 5", "kernel: 3", 1)
    )
    kept = changed[: changed.index("certificate:")] + changed[changed.index("provenance:") :]
    copy.write_text(re.sub(r"facts:\n(  .*\n)+", "", kept))
    assert nas.load(copy).architecture.key != found["winner"]["key"]
    run_certificate(QUIET, request(resume=True))
    assert nas.load(copy).certificate is None


def test_where_every_accuracy_is_the_same_nothing_is_told(run, trained, monkeypatch):
    trained.luck = 0.0
    monkeypatch.setattr(Asked, "quality", lambda self, macs: 1.0)
    found = run_certificate(QUIET, request())
    by = {one["rival"]: one for one in found["contrasts"]}
    assert not any(by[name]["distinguishable"] for name in REFERENCES)


SLOW = """
import sys, time
from pathlib import Path
from nas.search.trainings import Training, Trainings

def slow(work):
    Path(work["mark"]).write_text("begun")
    time.sleep(600)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    tasks = [Training("a", {}, 1, 1, {}, {"mark": str(folder / "mark")})]
    Trainings(folder, "pilot", {}).run(tasks, slow, 1, print)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_trainings_end_with_the_command_however_it_ends(tmp_path, number):
    """Their folder would else have two writers when it is resumed."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "f")], cwd=tmp_path)
    mark = tmp_path / "f" / "mark"
    end = time.monotonic() + 120
    while not mark.exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.kill(process.pid, number)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_the_family_is_trained_and_counted(run, trained):
    found = run_certificate(QUIET, request(family=True))
    assert found["family"]["of"] == 3
    assert 0 <= found["family"]["changed"] <= 3
    assert all(len(one["larger"]) == 3 and one["family_reward"] is not None for one in found["finalists"])
    assert any("by the family (phi 0 and 1)" in line for line in sentences(found))


def test_a_random_search_of_the_users_own(run, trained, make_run):
    results = [
        ("complete", {"accuracy": 0.6 + n / 100, "reward": 0.6 + n / 100, "seconds": 1.0}) for n in range(12)
    ]
    make_run(*results, name="random1")
    found = run_certificate(QUIET, request(random="runs/random1"))
    assert found["random"] == {"networks": 12, "run": "random1"}
    assert all("network" in work for work in trained)
    late = [("complete", {"accuracy": 0.9, "reward": 0.9, "seconds": 1.0})] * 5
    make_run(*results, *late, name="long1")
    longer = run_certificate(QUIET, request(random="runs/long1", out=run.path.parent / "longer", force=True))
    assert longer["finalists"] == found["finalists"]  # of as many networks as the search evaluated
    make_run(*results[:5], name="short1")
    make_run(*results, name="other1", strategy={"name": "evolution"})
    make_run(*results, name="other2", command="python -m nas.search.trial --data digits --epochs 4")
    for name, sentence in {
        "short1": "evaluated 5 networks and the search 12; a fair random search has as many",
        "other1": "its strategy is evolution; give one of strategy random",
        "other2": "its command differs from the search's",
    }.items():
        with pytest.raises(NasError) as caught:
            run_certificate(QUIET, request(random=f"runs/{name}", out=run.path.parent / name))
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": 2}, "--seeds is 2; give 3 or more"),
        ({"recipe": "transfer"}, "--recipe is 'transfer'; allowed: proxy, efficientnet"),
        ({"run": "nothere"}, "there is no run 'nothere'"),
        ({"no_random": True, "random": "x"}, "--no-random leaves out what --random names; give one of them"),
        ({"name": "a/b"}, "--name"),
        ({"device": "tpu"}, "--device is 'tpu'; allowed"),
        ({"epochs": 10**9, "recipe": "cifar", "run": "runs/empty"}, "all 1 trials ended without an accuracy"),
        ({"run": "runs/table"}, "train no network of a search space by nas.search.trial"),
    ],
)
def test_a_mistake_trains_nothing(run, trained, make_run, changes, sentence):
    make_run(("failed", {"reason": "x"}), name="empty")
    make_run(("complete", {"accuracy": 0.5, "reward": 0.5}), name="table", command="python other.py")
    with pytest.raises(NasError) as caught:
        run_certificate(QUIET, request(**changes))
    assert sentence in str(caught.value)
    assert len(trained) == 0


def test_a_split_that_was_changed_since_the_search_is_not_certified(
    make_run, trained, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "small.npz"
    data.write_bytes(images.read_bytes())
    command = "python -m nas.search.trial --data npz:small.npz --epochs 3"
    results = [
        ("complete", {"accuracy": 0.5 + n / 100, "reward": 0.5 + n / 100, "seconds": 1.0}) for n in range(4)
    ]
    make_run(*results, name="mine01", command=command, images=fingerprint("npz:small.npz", tmp_path))
    assert run_certificate(QUIET, request(run="runs/mine01", no_random=True))["winner"]
    data.write_bytes(images.read_bytes() + b"x")
    with pytest.raises(
        NasError, match=r"npz:small\.npz was changed since the search, which may have trained on what is"
    ):
        run_certificate(QUIET, request(run="runs/mine01", no_random=True, resume=True))


def test_a_search_that_runs_is_not_certified(run, trained, monkeypatch):
    monkeypatch.setattr(certify_request, "processes_of", lambda _: {1: "manager"})
    with pytest.raises(NasError, match="the search still runs, and its winner may be another yet"):
        run_certificate(QUIET, request())


def test_a_published_recipe(run):
    found = searched(request(recipe="efficientnet", epochs=12))
    assert found.config.optimizer == "rmsprop"
    assert found.config.epochs == 12
    assert found.recipe.startswith("efficientnet: 12 epochs")
    assert searched(request()).recipe.startswith("the trials' own settings: 60 epochs")
    assert searched(request()).full_pace == pytest.approx(60)


@pytest.mark.parametrize("split", ["train", "trainval"])
def test_a_real_full_training_is_scored_on_the_right_split_and_goes_on(tiny, images, tmp_path, split):
    arch = tiny.decode(tiny.sample(np.random.default_rng(0)))
    work: dict[str, Any] = {
        "network": nas.baseline.dump(nas.Baseline("n", arch)),
        "config": {"epochs": 2, "batch_size": 8, "seed": 1, "split": split, "lr": 0.02},
        "folder": str(tmp_path / "t"), "data": f"npz:{images}", "data_dir": None, "workers": None, "threads": 1,
        "device": "cpu",
    }  # fmt: skip
    found = fully_trained(work)
    part = {"train": 8, "trainval": 20}[split]  # images of val and of test
    assert len(unpacked(found["hits"])) == part
    assert found["accuracy"] * part == pytest.approx(unpacked(found["hits"]).sum())
    assert (tmp_path / "t" / "checkpoint.safetensors").is_file()
    assert fully_trained(work)["accuracy"] == found["accuracy"]  # from the checkpoint, nothing left to train
    work["config"] |= {"lr": 1e12}
    assert "diverged" in fully_trained(work | {"folder": str(tmp_path / "u")})["failed"]


@pytest.mark.parametrize("metric", ["accuracy", "balanced"])
def test_what_is_right_gives_the_metric(tiny, metric):
    """Of digits' test split, whose classes are not quite even, by a network that was hardly trained."""
    data = load_data("digits", resolution=8)
    data.metric = metric
    arch = tiny.decode(tiny.sample(np.random.default_rng(0))).with_data(10, 1)
    net = nas.build(arch)
    train(net, data, TrainingConfig(epochs=1, split="trainval"))
    hits = right(net, data, "test")
    weights = image_weights(data, "test")
    assert weights.sum().item() == pytest.approx(1)
    assert accuracy_of(hits, data, "test") == pytest.approx(evaluate(net, data, "test"))
    if metric == "balanced":
        labels = data.test.labels
        for number in range(10):
            assert weights[labels == number].sum().item() == pytest.approx(0.1)
