"""A reward on latency, limits of it, and latencies beside macs: from search.yml to a frozen baseline."""

import json

import numpy as np
import pytest
import yaml

import nas
from nas import NasError, SearchSpace, reward
from nas.latency_model import parts, parts_of_space
from nas.latency_table import LatencyTable
from nas.search import board
from nas.search.certifying import best, drawn
from nas.search.config import SearchConfig
from nas.search.costs import UNITS
from nas.search.finding import kept_model, subject_of
from nas.search.journal import FILE, Journal
from nas.search.pictures import pareto_figure, pareto_front
from nas.search.runs import LATENCY_FILE
from nas.search.settings import Limits, RewardSettings, TunerSettings
from nas.search.subject import SpaceSubject
from nas.search.trials import Trial
from nas.search.tuner import StrategyTuner
from nas.search.winner import freeze


def law(part):
    """Milliseconds that multiply-adds do not tell: 0.1 a depthwise layer, else 0.01, and a little by channels."""
    depthwise = sum(getattr(layer, "groups", 1) > 1 for layer in part.layers)
    return 0.1 * depthwise + 0.01 * len(part.layers) + 1e-4 * part.channels


@pytest.fixture
def model(tiny, latency_model):
    return latency_model(tiny, law)


@pytest.fixture
def file(tmp_path, model):
    path = tmp_path / "board.json"
    path.write_text(model.dump())
    return path


def ms_of(arch):
    """By hand: the model's offset is 0.5, its slope 2."""
    return 0.5 + 2 * sum(law(part) for part in parts(arch))


# Settings


def test_without_latency_what_is_written_down_is_as_before():
    assert RewardSettings(target=60_000).model_dump(mode="json") == {
        "form": "soft", "target": 60_000, "w": -0.07,
    }  # fmt: skip
    assert Limits(macs=5).model_dump() == {"macs": 5, "params": None}


def test_a_target_of_milliseconds_is_read():
    for written in ("80ms", "80 ms", "80", 80, 80.0):
        args = {
            "reward": {"cost": "latency", "target": written, "latency": "m.json"},
            "limits": {"latency": "0.1s"},
        }
        with pytest.raises(
            NasError, match=r"limits\.latency is '0\.1s'; give milliseconds over 0, such as 80ms$"
        ):
            TunerSettings.read(args)
        settings = TunerSettings.read(args | {"limits": {"latency": "100ms"}})
        assert (settings.reward.target, settings.limits.latency) == (80.0, 100.0)
        again = RewardSettings(**settings.reward.model_dump(mode="json"))
        assert again == settings.reward


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"reward": {"target": "80ms"}},
         r"reward\.target is '80ms'; give multiply-adds, such as 400M; milliseconds go with cost: latency$"),
        ({"reward": {"cost": "latency", "target": "400M", "latency": "f"}},
         r"reward\.target is '400M'; give milliseconds over 0, such as 80ms$"),
        ({"reward": {"cost": "latency", "target": 0, "latency": "f"}}, r"target is 0; give milliseconds over 0"),
        ({"reward": {"cost": "time"}}, r"reward\.cost is 'time'; give 'macs' or 'latency'"),
        ({"reward": {"cost": "latency"}},
         r"reward\.cost: latency needs a latency model; give reward\.latency: FILE"),
        ({"limits": {"latency": "9ms"}}, r"limits\.latency needs a latency model; give reward\.latency: FILE"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_one_sentence(args, sentence):
    with pytest.raises(NasError, match=sentence):
        TunerSettings.read(args)


# The subject and its view


@pytest.fixture
def subject(tiny, model):
    return SpaceSubject(tiny).with_latency(model)


def test_strategies_see_the_latency_priced_and_limited(tiny, subject):
    settings = RewardSettings(cost="latency", target=1.0, form="hard", latency="f")
    view = subject.view(Limits(latency=1.1, macs=150_000), lambda ms: settings.factor(ms, 1.0), settings.cost)
    rows = view.all_rows()
    archs = [tiny.decode(sample) for sample in view.samples(rows)]
    ms = np.array([ms_of(arch) for arch in archs])
    assert (ms > 1.1).any()
    assert view.worth(rows) == pytest.approx(np.where(ms <= 1.0, 1, 1.0 / ms))
    within = [one <= 1.1 and arch.macs <= 150_000 for one, arch in zip(ms, archs, strict=True)]
    assert 0 < sum(within) < len(within)
    assert view.admitted(rows).tolist() == within
    assert [view.refuse(sample) is None for sample in view.samples(rows)] == within
    over = view.sample(rows[int(np.argmax(ms))])
    assert f"latency {ms.max():.3g} ms is over the limit of 1.1 ms" in str(view.refuse(over)) or (
        "macs" in str(view.refuse(over))
    )


def test_a_limit_beside_a_reward_on_macs(tiny, subject):
    view = subject.view(Limits(latency=1.1), lambda macs: macs / 1000)
    rows = view.all_rows()
    macs = [tiny.decode(sample).macs for sample in view.samples(rows)]
    assert view.worth(rows) == pytest.approx(np.array(macs) / 1000)
    assert 0 < view.admitted(rows).sum() < len(rows)


def test_costs_and_the_default_target_are_the_models(tiny, subject):
    sample = tiny.sample(np.random.default_rng(0))
    arch = tiny.decode(sample)
    assert subject.cost(sample) == {
        "macs": arch.macs, "params": arch.params, "latency": pytest.approx(ms_of(arch), abs=1e-4),
    }  # fmt: skip
    rng, sizes = np.random.default_rng(0), [len(values) for values in tiny.choices.values()]
    rows = rng.integers(0, sizes, size=(4096, len(sizes)))
    view = subject.view(Limits())
    median = np.median([ms_of(tiny.decode(sample)) for sample in view.samples(rows)])
    assert subject.default_target("latency") == pytest.approx(median, rel=1e-3)
    assert subject.default_target("macs") == tiny.target
    assert subject.with_data(7, 3).cost(sample)["latency"] == subject.cost(sample)["latency"]


def test_limits_that_leave_nothing_are_refused(subject):
    with pytest.raises(
        NasError, match=r"limits of latency 0\.1 ms leave none of 20,000 .* and latency .* ms; raise"
    ):
        subject.check(Limits(latency=0.1))
    subject.check(Limits(latency=100))


def test_the_model_of_another_space_is_refused(tiny, latency_model):
    other = SearchSpace.load("digits")
    with pytest.raises(
        NasError, match=r"^reward\.latency: the latency model is of the space digits \(sha256 "
    ):
        SpaceSubject(tiny).with_latency(latency_model(other))


# search.yml


def config_of(tmp_path, document, reward=None, limits=None, **changes):
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(document))
    args = {"reward": reward or {}, "limits": limits or {}, "strategy": {"name": "random"}}
    content = {
        "searchSpaceFile": "tiny.yml", "trialConcurrency": 1, "maxTrialNumber": 4,
        "trialCommand": "python -m nas.search.trial --data digits --epochs 1",
        "tuner": {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner", "classArgs": args},
        "trainingService": {"platform": "local"},
    } | changes  # fmt: skip
    path = tmp_path / "search.yml"
    path.write_text(yaml.safe_dump(content))
    return SearchConfig.read(path)


def test_search_yml_names_the_model_by_a_path_of_its_own_folder(tmp_path, document, file, monkeypatch):
    monkeypatch.chdir("/")
    asked = {"cost": "latency", "target": "2ms", "latency": "board.json"}
    config = config_of(tmp_path, document, asked)
    assert config.subject is not None
    assert config.subject.latency is not None
    assert config.data["tuner"]["classArgs"]["reward"]["latency"] == str(file)  # NNI's tuner runs elsewhere
    assert config.prepared()["tuner"]["classArgs"]["reward"]["target"] == "2ms"


def test_a_resumed_search_reads_its_own_copy(tmp_path, document, file, model, make_run):
    run = make_run(name="abc").path.parent
    (run / LATENCY_FILE).write_text(file.read_text())
    config_of(tmp_path, document, {"cost": "latency", "latency": "board.json"})
    file.unlink()
    config = SearchConfig.read(tmp_path / "search.yml", resumed=str(run))
    assert config.subject is not None
    assert config.subject.latency.model == model
    with pytest.raises(NasError, match=r"board\.json: cannot be read"):
        SearchConfig.read(tmp_path / "search.yml")
    with pytest.raises(NasError, match="there is no run 'other'"):
        SearchConfig.read(tmp_path / "search.yml", resumed="other")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("gone.json", None, r"search\.yml, line \d+: .*gone\.json: cannot be read"),
        ("board.json", "{}", r"search\.yml, line \d+: .*board\.json: is \{\}, no latency model"),
    ],
)
def test_a_file_that_is_no_model_is_told_with_its_line(tmp_path, document, file, name, text, sentence):
    if text is not None:
        file.write_text(text)
    with pytest.raises(NasError, match=sentence):
        config_of(tmp_path, document, {"latency": name})


def test_what_has_no_parts_has_no_model(tmp_path, document, file):
    with pytest.raises(NasError, match=r"what is searched is the grid scale:mobilenet-v2; leave it out$"):
        config_of(
            tmp_path,
            document,
            {"latency": "board.json"},
            searchSpaceFile=None,
            searchSpace="scale:mobilenet-v2",
        )


def test_what_is_not_the_searchs_is_noted(tmp_path, document, file, monkeypatch):
    from nas import headlines

    config = config_of(tmp_path, document, {"latency": "board.json"})  # digits has 10 classes, and tiny 2
    assert headlines.latency_lines(config)[0] == (
        "latency on Cortex-A53, cpu, 4 threads, batch 1, predicted: 5.0 % off in the median of 24 networks held out"
    )
    device, classes = headlines.latency_lines(config)[1:]
    assert "latencies are predicted for Cortex-A53" in device
    assert "measured with 2 classes and 1 channels, and the data have 10 and 1" in classes


# A run


@pytest.fixture
def search(in_folder, document, file, monkeypatch):
    """A tuner of a reward on latency, without NNI's processes."""
    monkeypatch.setattr(board.StudyBoard, "_pictures", lambda *_: None)  # slow, and tested with the board
    begun = []

    def begin(**args):
        asked = {"cost": "latency", "target": "1.5ms", "form": "hard", "latency": "board.json"}
        made = StrategyTuner(**({"strategy": {"name": "random"}, "reward": asked} | args))
        begun.append(made)
        made.update_search_space(document)
        return made

    yield begin
    for tuner in begun:
        tuner._on_exit()


def test_a_proposal_carries_its_latency_and_the_journal_keeps_it(search, tiny, model, in_folder):
    tuner = search()
    parameters = tuner.generate_parameters(0)
    sample = {label: value for label, value in parameters.items() if label != "run"}
    arch = tiny.decode(sample)
    assert parameters["run"]["latency"] == pytest.approx(ms_of(arch), abs=1e-4)
    assert parameters["run"]["reward"] == {"form": "hard", "cost": "latency", "target": 1.5, "w": -0.07}
    journal = Journal(in_folder / "runs" / "local" / FILE)
    journal.refresh()
    assert journal.trials[0].latency == parameters["run"]["latency"]
    assert journal.trials[0].macs == arch.macs
    kept = journal.run["latency"]
    assert (kept["sha256"], kept["processor"], kept["threads"]) == (model.sha256, "Cortex-A53", 4)
    assert kept_model(journal.path.parent, journal.run) == model
    assert subject_of(journal.run).choices == tiny.choices  # reports need no model


def test_a_run_goes_on_with_its_own_copy(search, model, file, in_folder, tiny, latency_model):
    search().generate_parameters(0)
    file.write_text(latency_model(tiny, lambda part: 1.0).dump())  # measured anew meanwhile
    again = search()
    assert again._study.subject.latency.model == model
    (in_folder / "runs" / "local" / LATENCY_FILE).unlink()
    with pytest.raises(NasError, match=r"its latency model Cortex-A53 was changed since the run began"):
        search()


def test_a_run_without_latency_is_written_as_ever(search, in_folder):
    parameters = search(reward={}).generate_parameters(0)
    assert parameters["run"].keys() == {"space", "sha256", "reward", "limits", "seed", "number"}
    assert parameters["run"]["reward"].keys() == {"form", "target", "w"}
    assert parameters["run"]["limits"] == {"macs": None, "params": None}
    asked = [json.loads(line) for line in (in_folder / "runs" / "local" / FILE).read_text().splitlines()][-1]
    assert asked["event"] == "asked"
    assert "latency" not in asked


def test_a_stopped_trial_is_rewarded_by_its_latency(search, in_folder):
    tuner = search()
    parameters = tuner.generate_parameters(0)
    tuner._study.record_stop(0, 0.5, None)
    trial = tuner._study.journal.trials[0]
    assert trial.reward == pytest.approx(reward(0.5, parameters["run"]["latency"], 1.5, form="hard"))


@pytest.mark.parametrize("strategy", ["random", "model", "evolution", "local"])
def test_strategies_find_what_is_fast(search, tiny, strategy):
    """All networks are as accurate, so the fastest of 112 is the best; those over 1.2 ms are never asked."""
    tuner = search(
        strategy={"name": strategy},
        reward={"cost": "latency", "target": "1ms", "w": -0.5, "latency": "board.json"},
        limits={"latency": "1.2ms"},
    )
    ms = []
    for number in range(24):
        parameters = tuner.generate_parameters(number)
        ms.append(parameters["run"]["latency"])
        worth = reward(0.9, ms[-1], 1.0, w=-0.5)
        value = {"default": worth, "accuracy": 0.9, "macs": tuner._study.journal.trials[number].macs}
        tuner.receive_trial_result(number, parameters, value)
    assert max(ms) <= 1.2
    every = [ms_of(tiny.decode(s)) for s in SpaceSubject(tiny).view(Limits()).samples(
        SpaceSubject(tiny).view(Limits()).all_rows())]  # fmt: skip
    if strategy == "model":
        assert min(ms) == pytest.approx(min(every), abs=1e-3)
        assert np.median(ms[-8:]) < np.median(every)


# What comes of a run


def trials_of(tiny, n=6):
    found = []
    for number in range(n):
        sample = tiny.sample(np.random.default_rng(number))
        arch = tiny.decode(sample)
        accuracy, ms = 0.5 + 0.05 * number, float(n - number)
        found.append(
            Trial(number, sample, arch.key, "complete", accuracy, accuracy, arch.macs, arch.params, ms)
        )
    return found


def test_the_front_is_of_the_cost_that_is_priced(tiny):
    trials = trials_of(tiny)  # the last is the most accurate, and the fastest
    assert [trial.number for trial in pareto_front(trials, "latency")] == [5]
    figure = pareto_figure(trials, 2.0, RewardSettings(cost="latency", latency="f", target=2.0))
    (axes,) = [one for one in figure.axes if one.get_xlabel()]
    assert axes.get_xlabel() == "latency (ms)"
    assert "target 2 ms" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert UNITS["macs"].axis == "multiply-adds (M)"


def test_a_frozen_winner_says_its_latency_and_by_what(make_run, in_folder, model):
    state = ("complete", {"accuracy": 0.9, "reward": 0.9, "latency": 1.25})
    journal = make_run(state, latency=model.about())
    baseline, path = freeze(journal)
    assert nas.load(path) == baseline
    assert baseline.facts is not None
    assert baseline.provenance is not None
    assert (baseline.facts.latency, baseline.facts.latency_by) == (
        1.25,
        "Cortex-A53, cpu, 4 threads, batch 1",
    )
    assert baseline.provenance.latency_sha256 == model.sha256


def test_a_run_without_latency_freezes_as_ever(make_run, in_folder):
    _, path = freeze(make_run(("complete", {"accuracy": 0.9, "reward": 0.9})))
    assert "latency" not in path.read_text()


def test_a_certificates_finalists_are_priced_by_the_model(tiny, model):
    settings = RewardSettings(cost="latency", latency="f", w=-0.5)
    trials = trials_of(tiny)
    found = best(trials, tiny, settings, 2.0, 3, "search", model)
    worth = sorted(trials, key=lambda t: -(t.accuracy or 0) * ((t.latency or 1) / 2.0) ** -0.5)
    assert [one.trial for one in found] == [trial.number for trial in worth[:3]]
    assert found[0].factor == pytest.approx((model.milliseconds(found[0].arch) / 2.0) ** -0.5)
    samples = drawn(tiny, Limits(latency=1.1), 20, seed=0, latency=model)
    assert samples
    assert all(ms_of(arch) <= 1.1 for _, arch in samples)


def test_a_kept_model_that_was_changed_is_found_out(make_run, model, tiny, latency_model):
    journal = make_run(latency=model.about())
    path = journal.path.with_name(LATENCY_FILE)
    path.write_text(latency_model(tiny, lambda part: 1.0).dump())
    with pytest.raises(NasError, match=r"latency\.json: is not the latency model that the run began with"):
        kept_model(journal.path.parent, journal.run)


def test_the_tables_rows_are_those_of_the_space(tiny, model):
    assert set(model.parts) == set(parts_of_space(tiny))
    assert LatencyTable(tiny, model).of_random(5, seed=3).shape == (5,)


def test_known_answers_are_of_multiply_adds(tmp_path, document, file):
    from nas.known_report import check_answerable

    config = config_of(tmp_path, document, {"cost": "latency", "latency": "board.json"})
    with pytest.raises(NasError, match=r"^--known-answers brings published networks to T multiply-adds"):
        check_answerable(config)
    check_answerable(config_of(tmp_path, document, {"latency": "board.json"}))
