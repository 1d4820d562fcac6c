"""Before a search: the predicted frontier, what proxies are worth, and the pilot that says both."""

import json
import os
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from nas import NasError, SearchSpace, training_lock
from nas.calibrate_job import Request, run_calibration
from nas.reward import factor
from nas.search.fidelity import Fidelity
from nas.search.frontier import Estimate, Frontier, exponent_at, hull
from nas.search.journal import FILE, Journal
from nas.search.pilot import Pilot, Task, spread
from nas.search.regret import expected, upper
from nas.search.settings import Limits
from nas.search.short_training import shortly_trained
from nas.search.subject import SpaceSubject
from nas.search.verdicts import chance, cheapest, verdicts

QUIET = Console(quiet=True)


# The frontier


def test_the_hull_is_what_no_straight_line_is_above():
    rng = np.random.default_rng(0)
    x, y = rng.random(200), rng.random(200)
    corners = hull(x, y)
    assert x[corners].tolist() == sorted(x[corners])
    assert y[corners].tolist() == sorted(y[corners])
    slopes = np.diff(y[corners]) / np.diff(x[corners])
    assert slopes.tolist() == sorted(slopes, reverse=True)
    inside = (x >= x[corners[0]]) & (x <= x[corners[-1]])
    assert (y[inside] <= np.interp(x[inside], x[corners], y[corners]) + 1e-12).all()


def test_the_exponent_is_the_slope():
    """acc = macs ** 0.05 has the slope 0.05 everywhere: MnasNet's rule gives back w = -0.05."""
    x = np.linspace(0, 3, 40)
    assert exponent_at(x, 0.05 * x - 1, 1.5) == pytest.approx(-0.05)
    assert np.isnan(exponent_at(np.zeros(1), np.zeros(1), 0.0))


def test_a_frontier_is_found_from_a_pilot_where_the_truth_is_known():
    """acc = 1 - c macs ** -0.3 for every network: its slope at T is known in closed form."""
    space = SearchSpace.load("digits")
    view = SpaceSubject(space).view(Limits())
    rows = view.rows(spread(space, 16, seed=0))
    macs = view.macs(rows)
    scale = 0.5 * macs.min() ** 0.3
    frontier = Frontier(view, rows, 1 - scale * macs**-0.3)
    target = float(np.median(macs))
    error = scale * target**-0.3
    truth = -0.3 * error / (1 - error)
    found = frontier.exponent(target)
    assert found.value == pytest.approx(truth, rel=0.3)
    assert found.low <= truth <= found.high
    assert found.low < found.value < found.high
    end = frontier.landing(truth)
    assert end.low <= target * 1.5
    assert end.high >= target / 1.5
    assert frontier.landing(-1.0).value < frontier.landing(-0.001).value


# Proxies


def test_a_fidelity_is_read_and_told():
    base = Fidelity(8)
    assert Fidelity.parse("epochs=2", base) == Fidelity(2)
    assert (
        Fidelity.parse("fraction=0.5, resolution=0.75", base).label == "8 epochs, images x 0.5, pixels x 0.75"
    )
    assert Fidelity(1).label == "1 epoch"
    arch = SearchSpace.load("cifar").frame
    small = Fidelity(1, resolution=0.6, width=0.5).of(arch)
    assert small.resolution == 20
    assert small.stages[-1].channels < arch.stages[-1].channels
    assert Fidelity(3).of(arch) is arch


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epoch=2", "unknown 'epoch' (did you mean 'epochs'?); give epochs, fraction, resolution, width"),
        ("epochs=0", "epochs is '0'; give a whole number from 1"),
        ("width=2", "width is '2'; give a ratio over 0, up to 1"),
        ("fraction=half", "fraction is 'half'; give a ratio over 0, up to 1"),
        ("width", "width is ''; give a ratio"),
    ],
)
def test_a_bad_fidelity_is_one_sentence(text, sentence):
    with pytest.raises(NasError) as caught:
        Fidelity.parse(text, Fidelity(8))
    assert sentence in str(caught.value)


def made_up(
    noise: dict[Fidelity, float], n: int = 40, seeds: int = 2
) -> tuple[dict[Fidelity, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(1)
    truth, macs = rng.normal(0.8, 0.02, n), np.exp(rng.normal(15, 1, n))
    return {one: truth[:, None] + rng.normal(0, sd, (n, seeds)) for one, sd in noise.items()}, macs


def test_a_faithful_proxy_passes_and_a_random_one_does_not():
    long, good, bad = Fidelity(8), Fidelity(4), Fidelity(1)
    scores, macs = made_up({long: 0.002, good: 0.003, bad: 0.5})
    found = verdicts(scores, {long: 8.0, good: 4.0, bad: 1.0}, macs, np.ones(len(macs)), long, top=3)
    by = {one.fidelity: one for one in found}
    assert [one.fidelity for one in found] == [bad, good, long]
    assert by[good].rank > 0.9 > 0.5 > abs(by[bad].rank)
    assert by[good].rank_low <= by[good].rank <= by[good].rank_high
    assert by[long].noise > 0.9 > by[bad].noise
    assert by[good].regret < 0.003 < by[bad].regret < by[bad].regret_high
    assert [one.cost for one in found] == [0.125, 0.5, 1.0]
    chosen = cheapest(found, 0.005)
    assert chosen is not None
    assert chosen.fidelity == good
    assert cheapest([by[bad]], 0.005) is None
    assert by[good].regret < 0.01 < chance(scores[long], np.ones(len(macs)), 3)


def test_what_multiply_adds_explain_earns_a_proxy_nothing():
    """Both follow the cost and nothing else: the ranks agree, and at equal cost they do not."""
    rng = np.random.default_rng(0)
    macs = np.exp(rng.uniform(13, 17, 60))
    follow = 1 - np.exp(-0.3 * np.log(macs) + 2)
    long, short = Fidelity(8), Fidelity(1)
    scores = {one: follow[:, None] + rng.normal(0, 0.004, (60, 2)) for one in (long, short)}
    (cheap, _) = verdicts(scores, {long: 8.0, short: 1.0}, macs, np.ones(60), long)
    assert cheap.rank > 0.95
    assert abs(cheap.rank_at_cost) < 0.35


def test_luck_that_a_seed_shares_with_the_longest_earns_a_proxy_nothing():
    """The networks are alike: what the two agree in is weights and batches of the same seed."""
    rng = np.random.default_rng(0)
    long, short = Fidelity(4), Fidelity(2)
    luck = rng.normal(0, 0.02, (60, 2))
    scores = {one: 0.8 + luck + rng.normal(0, 0.004, (60, 2)) for one in (long, short)}
    assert np.corrcoef(scores[long][:, 0], scores[short][:, 0])[0, 1] > 0.9
    found = verdicts(scores, {long: 4.0, short: 2.0}, np.full(60, 1e6), np.ones(60), long)
    assert abs(found[0].rank) < 0.3 > abs(found[1].rank)
    assert cheapest(found, bound=0.02) is None


@pytest.mark.parametrize(("networks", "seeds", "reliability"), [(12, 2, 0.9), (24, 2, 0.6), (24, 3, 0.97)])
@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
def test_the_upper_regret_covers_what_a_search_would_lose(networks, seeds, reliability, correlation):
    """About 90 % of pilots: of a truth that is known, longest and proxy with noise, some of it of a seed that they
    share."""
    rng = np.random.default_rng(0)
    noise = np.sqrt(1 / reliability - 1)
    shared = min(0.9 * noise * correlation, np.sqrt(1 - correlation**2))
    own = np.sqrt(1 - correlation**2 - shared**2)
    held = []
    for _ in range(200):
        truth, luck = rng.normal(size=(networks, 1)), rng.normal(size=(networks, seeds))
        longest, proxy = truth + noise * luck, correlation * truth + shared * luck
        proxy += own * rng.normal(size=(networks, 1))
        pairs = [(proxy[:, s], np.delete(longest, s, axis=1).mean(axis=1)) for s in range(seeds)]
        held.append(upper(pairs, longest, 3) >= expected(correlation, 3))
    assert np.mean(held) > 0.84


def test_differences_that_drown_in_luck_bound_no_regret():
    rng = np.random.default_rng(3)
    luck = rng.normal(size=24)
    longest = np.stack([luck, -luck], axis=1)
    assert np.isnan(upper([(luck, longest[:, 1]), (-luck, longest[:, 0])], longest, 3))
    one = longest[:, :1]
    assert upper([(luck, luck)], one, 3) < 1e-3 < upper([(rng.normal(size=24), luck)], one, 3)


def test_failed_trainings_are_left_out():
    long, short = Fidelity(8), Fidelity(1)
    scores, macs = made_up({long: 0.002, short: 0.002})
    scores[short][:5] = np.nan
    (cheap, _) = verdicts(scores, {long: 8.0, short: 1.0}, macs, np.ones(len(macs)), long)
    assert cheap.rank > 0.9
    scores[short][:] = np.nan
    (cheap, _) = verdicts(scores, {long: 8.0, short: 1.0}, macs, np.ones(len(macs)), long)
    assert np.isnan(cheap.rank)
    assert cheapest([cheap], 1.0) is None


# The pilot


def test_a_pilot_is_spread_over_the_multiply_adds():
    space = SearchSpace.load("cifar")
    samples = spread(space, 24, seed=0)
    macs = np.array([space.decode(sample).macs for sample in samples])
    assert len({space.decode(sample).key for sample in samples}) == 24
    assert macs.tolist() == sorted(macs)
    every = space.costs.of_random(8192, seed=3)[1]
    assert macs[0] < np.quantile(every, 0.05)
    assert macs[-1] > np.quantile(every, 0.95)
    steps = np.diff(np.log(macs))
    assert steps.max() < 3 * np.log(macs[-1] / macs[0]) / 23
    assert spread(space, 24, seed=0) == samples
    assert spread(space, 24, seed=1) != samples
    limited = spread(space, 8, seed=0, most=4e6)
    assert max(space.decode(sample).macs for sample in limited) <= 4e6
    with pytest.raises(NasError, match="random networks 0 are within --limit 10; raise it, or give fewer"):
        spread(space, 8, seed=0, most=10)
    with pytest.raises(
        NasError, match=r"a pilot is chosen among 8192 random networks; give --pilot 8192 or fewer"
    ):
        spread(space, 9000, seed=0)


class Asked(list[dict[str, Any]]):
    """What was asked for; at number `stop` the user interrupts, and a network of `deadly` multiply-adds or more kills
    its process; none is more accurate than `most`."""

    stop: int | None = None
    deadly: float = np.inf
    most: float = 1.0


@pytest.fixture
def trained(pooled: Any) -> Asked:
    """Trainings that are looked up."""
    asked = Asked()

    def answer(work: dict[str, Any]) -> dict[str, Any]:
        asked.append(work)
        if len(asked) == asked.stop:
            raise KeyboardInterrupt
        macs = SearchSpace.from_data(work["space"]).decode(work["sample"]).macs
        if macs >= asked.deadly:
            raise BrokenProcessPool
        rng = np.random.default_rng(work["config"]["seed"] + int(macs))
        noise = 0.002 if work["fidelity"]["epochs"] > 1 else 0.05
        accuracy = float(np.clip(1 - 0.4 * (macs / 1e5) ** -0.4 + rng.normal(0, noise), 0, asked.most))
        return {"accuracy": accuracy, "seconds": float(work["fidelity"]["epochs"])}

    pooled(answer)
    return asked


def test_what_is_printed_is_written_and_an_interrupted_pilot_goes_on(in_folder, trained):
    request = Request("digits", "digits", pilot=12, epochs=4, fidelities=("epochs=1",), device="cpu")
    trained.stop = 20
    with pytest.raises(
        NasError, match="interrupted; nothing is lost: the same command with --resume goes on"
    ):
        run_calibration(QUIET, request)
    trained.stop = None
    with pytest.raises(NasError, match="pilots/digits has a pilot already; go on with --resume"):
        run_calibration(QUIET, request)
    request = Request(**{**vars(request), "resume": True})
    console = Console(record=True, width=200)
    found = run_calibration(console, request)
    assert len(trained) == 12 * 2 * 2 + 1
    text = console.export_text()
    assert json.loads((in_folder / "pilots/digits/calibration.json").read_text()) == json.loads(
        json.dumps(found)
    )
    assert found["exponent"]["low"] < found["exponent"]["value"] < found["exponent"]["high"] < 0
    assert f"{found['exponent']['value']:.3f}" in text
    assert "with one exponent T only rescales the reward" in text
    assert found["reward"] in text
    cheap, long = found["proxies"]["verdicts"]
    assert cheap["rank"] < long["rank"]
    again = run_calibration(QUIET, request)
    assert again == found
    assert len(trained) == 12 * 2 * 2 + 1
    other = Request(**{**vars(request), "pilot": 13})
    with pytest.raises(
        NasError,
        match=r"digits: has a pilot whose networks is 12, and here it is 13; .* another --out",
    ):
        run_calibration(QUIET, other)


def test_what_is_trained_is_told_and_that_nothing_was_learnt(in_folder, trained, monkeypatch):
    request = Request("digits", "digits", pilot=8, epochs=4, seeds=1, device="cpu")
    console = Console(record=True, width=300)
    run_calibration(console, request)
    assert (
        "8 networks, 8 trainings, 1 at a time; each takes as long as a trial of 4 epochs"
        in console.export_text()
    )
    assert "nothing has learnt anything" not in console.export_text()
    monkeypatch.setattr(Asked, "most", 0.1)
    run_calibration(again := Console(record=True, width=300), replace(request, out=Path("other")))
    assert "naming one class for every image gives 0.1003: nothing has learnt anything" in again.export_text()


def test_two_processes_do_not_train_one_pilot(in_folder, trained, monkeypatch):
    request = Request("digits", "digits", pilot=8, epochs=4, seeds=1, resume=True, device="cpu")
    monkeypatch.setattr(training_lock, "PATIENCE", 0.1)
    with training_lock.locked(in_folder / "pilots/digits"), pytest.raises(NasError) as caught:
        run_calibration(QUIET, request)
    assert f"pilots/digits: process {os.getpid()} is training in it; wait for it" in str(caught.value)
    assert len(trained) == 0


def test_with_one_seed_the_shared_luck_is_told(in_folder, trained):
    request = Request(
        "digits", "digits", pilot=8, epochs=4, seeds=1, fidelities=("fraction=0.5",), device="cpu"
    )
    console = Console(record=True, width=400)
    run_calibration(console, request)
    assert (
        "with one seed a proxy shares the luck of the longest's weights and batches" in console.export_text()
    )


@pytest.mark.parametrize(("exponent", "form"), [(np.nan, "hard"), (-0.5, "soft")])
def test_regrets_are_of_the_reward_that_is_recommended(in_folder, trained, monkeypatch, exponent, form):
    monkeypatch.setattr(Frontier, "exponent", lambda *_: Estimate(exponent, exponent - 0.1, exponent + 0.1))
    seen = []
    monkeypatch.setattr(
        "nas.calibrate_job.verdicts", lambda *given: [seen.append(given[3]), *verdicts(*given)][1:]
    )
    found = run_calibration(QUIET, Request("digits", "digits", pilot=8, epochs=4, device="cpu"))
    assert f"form: {form}" in found["reward"]
    space = SearchSpace.load("digits")
    macs = np.array([space.decode(sample).macs for sample in spread(space, 8, seed=0)], float)
    w = -0.07 if form == "hard" else exponent
    assert seen[0] == pytest.approx(factor(macs, space.target, w, form))


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_network_that_kills_its_process_is_a_failure_and_costs_no_other(in_folder, trained, jobs):
    """Of several at once nobody knows whose process it was: they are tried one by one."""
    space = SearchSpace.load("digits")
    macs = sorted(space.decode(sample).macs for sample in spread(space, 10, seed=0))
    trained.deadly = macs[-2]
    run_calibration(QUIET, Request("digits", "digits", pilot=10, seeds=1, jobs=jobs, device="cpu"))
    journal = Journal(in_folder / "pilots/digits" / FILE)
    journal.refresh()
    states = sorted((trial.macs, trial.state) for trial in journal.trials.values())
    assert [state for _, state in states] == ["complete"] * 8 + ["failed"] * 2
    failed = [trial.reason for trial in journal.trials.values() if trial.state == "failed"]
    assert failed == ["its process was killed, as for want of memory"] * 2


def test_more_fidelities_train_what_is_missing(in_folder, trained):
    request = Request("digits", "digits", pilot=8, epochs=4, seeds=1, device="cpu")
    assert "proxies" not in run_calibration(QUIET, request)
    assert len(trained) == 8
    more = Request(**{**vars(request), "resume": True, "fidelities": ("fraction=0.5",)})
    found = run_calibration(QUIET, more)
    assert len(trained) == 16
    assert {work["fidelity"]["fraction"] for work in trained} == {1.0, 0.5}
    assert len(found["proxies"]["verdicts"]) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pilot": 4}, "--pilot is 4; give 8 networks or more"),
        ({"data": "digit"}, "data is 'digit', which is no data set"),
        ({"space": "digit"}, "digit"),
        ({"device": "tpu"}, "--device is 'tpu'; allowed"),
        ({"fidelities": ("epoch=1",)}, "unknown 'epoch'"),
    ],
)
def test_a_mistake_trains_nothing(in_folder, trained, changes, sentence):
    request = {"space": "digits", "data": "digits", "pilot": 8, "device": "cpu"} | changes
    with pytest.raises(NasError) as caught:
        run_calibration(QUIET, Request(**request))
    assert sentence in str(caught.value)
    assert len(trained) == 0


def test_a_real_pilot_trains_in_processes_and_records_failures(tmp_path):
    space = SearchSpace.load("digits")
    samples = spread(space, 2, seed=0)
    tasks = [
        Task(sample, space.decode(sample).key, Fidelity(1, fraction=fraction), 0, 1, 1)
        for sample, fraction in zip(samples, (1.0, 0.25), strict=True)
    ]
    pilot = Pilot(tmp_path / "pilot", space, {"data": "digits"})
    options = {"data": "digits", "data_dir": None, "workers": 0, "threads": 1, "device": "cpu"}
    told: list[str] = []
    pilot.run(
        pilot.trainings(tasks, options), shortly_trained, 2, lambda task, trial: told.append(trial.state)
    )
    assert told == ["complete", "complete"]
    journal = Journal(tmp_path / "pilot" / FILE)
    journal.refresh()
    assert all(0 < trial.accuracy < 1 for trial in journal.trials.values())
    assert [event["fidelity"]["fraction"] for event in journal.events if event["event"] == "asked"] == [
        1.0,
        0.25,
    ]
    pilot.run(pilot.trainings(tasks, options), shortly_trained, 1, lambda *_: told.append("again"))
    assert told == ["complete", "complete"]
