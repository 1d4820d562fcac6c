"""Searches over recorded results: tuner, trials, journal, pictures, search.yml and the end of `nas search`."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import nni
import pytest
import yaml
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

import nas
from nas import NasError, SearchSpace, main_job
from nas.evaluators.table import Table, TableEvaluator
from nas.search import evaluating
from nas.search.asktell import AskTell
from nas.search.board import StudyBoard
from nas.search.config import SearchConfig
from nas.search.finding import find_subject, subject_of
from nas.search.journal import FILE, Journal, Trial
from nas.search.pictures import choices_figure
from nas.search.settings import BY_NAME, Limits
from nas.search.strategies import STRATEGIES, make
from nas.search.tuner import StrategyTuner
from nas.search.view import no_factor
from nas.search.winner import freeze

LAYERS = ("layer1", "layer2", "layer3")
BLOCKS = ("identity", "mb3k3", "mb6k5")


def plain(missing: int = 0) -> dict[str, Any]:
    """27 samples, of which the last `missing` are not recorded; every one is a network."""
    records = []
    for number in range(27 - missing):
        digits = (number // 9, number // 3 % 3, number % 3)
        records.append({
            "sample": {layer: BLOCKS[d] for layer, d in zip(LAYERS, digits, strict=True)},
            "accuracy": [0.5 + sum(digits) / 20 + run / 1000 for run in (0, 1, 2)],
            "macs": 1000 * (1 + sum((1, 3, 9)[d] for d in digits)) + number,
            "params": 100 + number,
        })  # fmt: skip
    return {"name": "blocks", "choices": {layer: list(BLOCKS) for layer in LAYERS}, "records": records}


def of_space(space: SearchSpace, every: int = 2) -> dict[str, Any]:
    """Every second sample of the small space, as they come."""
    records = []
    for number, values in enumerate(itertools.product(*space.choices.values())):
        if number % every == 0:
            sample = dict(zip(space.choices, values, strict=True))
            records.append({"sample": sample, "accuracy": 0.5 + number / 1000})
    return {"name": "recorded", "space": "./tiny.yml", "records": records}


class Place:
    """A folder with the two tables, the small space, and a search.yml for either."""

    def __init__(self, folder: Path, space: SearchSpace, document: dict[str, Any]) -> None:
        self.folder = folder
        (folder / "tiny.yml").write_text(yaml.safe_dump(document))
        (folder / "plain.json").write_text(json.dumps(plain(missing=5)))
        (folder / "recorded.json").write_text(json.dumps(of_space(space)))

    searched: ClassVar = {
        "plain": {"searchSpace": "table:plain.json"},
        "recorded": {"searchSpaceFile": "tiny.yml"},
    }

    def yml(self, kind: str = "plain", options: str = "", class_args: Any = None, **changes: Any) -> Path:
        config = {
            **self.searched[kind],
            "trialCommand": f"python -m nas.search.trial --table {kind}.json {options}",
            "maxTrialNumber": 12, "trialConcurrency": 2, "trainingService": {"platform": "local"},
            "tuner": {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
                      "classArgs": {"strategy": {"name": "random"}, **(class_args or {})}},
        }  # fmt: skip
        path = self.folder / "search.yml"
        path.write_text(yaml.safe_dump({k: v for k, v in (config | changes).items() if v is not None}))
        return path


@pytest.fixture
def place(in_folder: Path, tiny: SearchSpace, document: dict[str, Any]) -> Place:
    return Place(in_folder, tiny, document)


@pytest.fixture
def start(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StrategyTuner]]:
    """A tuner as NNI starts it on a search.yml: what it hands on is what NNI would."""
    made: list[StrategyTuner] = []

    def starting(kind: str = "plain", **class_args: Any) -> StrategyTuner:
        config = yaml.safe_load(place.yml(kind).read_text())
        profile = {key: value for key, value in config.items() if not key.startswith("searchSpace")}
        profile["trialCodeDirectory"] = str(place.folder)
        monkeypatch.setattr(StrategyTuner, "_profile", lambda self: profile)
        tuner = StrategyTuner(**{"strategy": {"name": "random"}} | class_args)
        document = config.get("searchSpace") or yaml.safe_load((place.folder / "tiny.yml").read_text())
        tuner.update_search_space(document)
        made.append(tuner)
        return tuner

    yield starting
    for tuner in made:
        tuner._on_exit()


class FakeNNI(ModuleType):
    """The module that a trial reports to."""

    def __init__(self) -> None:
        super().__init__("nni")
        self.parameters: dict[str, Any] = {}
        self.final: list[dict[str, float]] = []

    def get_next_parameter(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.parameters))

    def report_final_result(self, value: dict[str, float]) -> None:
        self.final.append(value)


@pytest.fixture
def run_trial(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[dict[str, float]]]]:
    """Runs a proposal's trial in this process; its exit code and what NNI heard."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(evaluating, "_on_signals", lambda _: None)

    def running(parameters: dict[str, Any], *options: str, job: str = "job0", run: str = "local") -> Any:
        fake = FakeNNI()
        fake.parameters = parameters
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, "nni", fake)
            patched.setenv("NNI_EXP_ID", run)
            patched.setenv("NNI_TRIAL_JOB_ID", job)
            patched.setenv("NNI_CODE_DIR", str(place.folder))
            return evaluating.main(list(options)), fake.final

    return running


def journal_of(place: Place) -> Journal:
    journal = Journal(place.folder / "runs" / "local" / FILE)
    journal.refresh()
    return journal


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    found.Reload()
    return found


# The tuner


@pytest.mark.parametrize(
    "name", [name for name in BY_NAME if name in ("random", "evolution", "tpe", "model")]
)
def test_every_recorded_network_is_proposed_once_and_no_other(start, place, name):
    tuner = start(strategy={"name": name})
    table = Table.read(place.folder / "plain.json")
    proposed = []
    for number in range(22):
        sample = tuner.generate_parameters(number)
        run = sample.pop("run")
        assert run["number"] == number
        proposed.append(table.find(sample))
        worth = proposed[-1].accuracies[0]
        value = {
            "default": worth,
            "accuracy": worth,
            "macs": proposed[-1].macs,
            "params": proposed[-1].params,
        }
        tuner.receive_trial_result(number, {**sample, "run": run}, value, trial_job_id=f"j{number}")
    assert {id(record) for record in proposed} == {id(record) for record in proposed if record is not None}
    assert len({record.key for record in proposed}) == 22
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(22)


def test_the_journal_keeps_what_is_needed_to_go_on(start, place):
    table = Table.read(place.folder / "plain.json")
    sample = start(reward={"form": "hard"}, seed=3).generate_parameters(0)
    run = journal_of(place).run
    assert run["table"] == {
        "name": "blocks", "source": "", "choices": {layer: list(BLOCKS) for layer in LAYERS},
        "target": table.target, "sha256": table.sha256,
    }  # fmt: skip
    assert (run["space"], run["sha256"], "document" in run) == ("blocks", table.sha256, False)
    assert sample["run"] == {
        "space": "blocks", "sha256": table.sha256, "table": table.sha256, "seed": 3, "number": 0,
        "reward": {"form": "hard", "target": table.target, "w": -0.07}, "limits": {"macs": None, "params": None},
    }  # fmt: skip
    again = subject_of(run)
    assert (again.name, again.choices, again.target) == ("blocks", table.choices, table.target)
    asked = journal_of(place).trials[0]
    assert (asked.macs, asked.params) == (table.find(asked.sample).macs, table.find(asked.sample).params)


def test_of_a_search_space_recorded_networks_alone_are_proposed(start, place, tiny):
    """A sample that is not recorded is one where it is the same network as a recorded one."""
    tuner = start("recorded")
    table = Table.read(place.folder / "recorded.json")
    assert 50 < len(table.records) < 112
    proposed = [tuner.generate_parameters(number) for number in range(len(table.records))]
    keys = {tiny.decode({k: v for k, v in sample.items() if k != "run"}).key for sample in proposed}
    assert keys == {record.key for record in table.records}
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(999)
    run = journal_of(place).run
    assert (run["space"], run["sha256"], run["classes"]) == ("tiny", tiny.sha256, 2)
    assert run["table"] == {"name": "recorded", "sha256": table.sha256}


@pytest.mark.parametrize("kind", ["plain", "recorded"])
def test_limits_hold_and_those_that_leave_nothing_are_refused(start, place, kind):
    table = Table.read(place.folder / f"{kind}.json")
    macs = sorted(record.macs for record in table.records)
    tuner = start(kind, limits={"macs": macs[4]})
    within = [number for number in macs if number <= macs[4]]
    for number in range(len(within)):
        tuner.generate_parameters(number)
    assert sorted(t.macs for t in journal_of(place).trials.values()) == within
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(99)
    subject = find_subject(*searched(place, kind))
    with pytest.raises(
        NasError, match=rf"^classArgs: limits of macs 1 leave none of the {len(macs)} networks of"
    ):
        subject.check(Limits(macs=1))


def searched(place: Place, kind: str) -> tuple[Any, str, Path]:
    """The arguments of `find_subject`."""
    words = Place.searched[kind]
    named = words.get("searchSpace") or str(place.folder / words["searchSpaceFile"])
    return named, f"{kind}.json", place.folder


def test_params_can_be_limited_where_they_are_recorded(place):
    data = plain()
    Path("some.json").write_text(json.dumps(data))
    find_subject("table:some.json", None, place.folder).check(Limits(params=101))
    del data["records"][5]["params"]
    Path("some.json").write_text(json.dumps(data))
    with pytest.raises(
        NasError, match=r"^classArgs: params is limited to 101, but not every record of the table"
    ):
        find_subject("table:some.json", None, place.folder).check(Limits(params=101))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_table_that_random_draws_do_not_hit_is_searched(place, name):
    """Three samples of 4^12."""
    labels = [f"a{n}" for n in range(12)]
    data = {
        "name": "thin", "choices": {label: [1, 2, 3, 4] for label in labels},
        "records": [
            {"sample": dict.fromkeys(labels, value), "accuracy": 0.5, "macs": 9} for value in (1, 3, 4)
        ],
    }  # fmt: skip
    Path("thin.json").write_text(json.dumps(data))
    subject = find_subject("table:thin.json", None, place.folder)
    subject.check(Limits())
    talk = AskTell(subject.view(Limits(), no_factor), make(name, {}, seed=0), seed=0)
    found = []
    while (sample := talk.ask()) is not None:
        found.append(sample["a0"])
        talk.tell(sample, 0.5)
    talk.close()
    assert sorted(found) == [1, 3, 4]


def test_a_resumed_search_goes_on_and_one_whose_table_changed_does_not(start, place):
    tuner = start()
    for number in range(4):
        tuner.generate_parameters(number)
    tuner._on_exit()
    assert start().generate_parameters(0)["run"]["number"] == 0  # never heard of, so handed out again
    data = plain(missing=5)
    data["records"][0]["accuracy"] = 0.1
    (place.folder / "plain.json").write_text(json.dumps(data))
    with pytest.raises(
        NasError, match=r"its table blocks was changed since the run began \(sha256 \w{12}, now"
    ):
        start()


def test_a_table_is_not_taken_for_none_on_resume(start, place, monkeypatch):
    start("recorded")._on_exit()
    monkeypatch.setattr(Place, "yml", lambda self, kind: self.folder / "other.yml")
    (place.folder / "other.yml").write_text(yaml.safe_dump({"trialCommand": "./mine"}))
    with pytest.raises(
        NasError, match=r"its table recorded was changed since the run began \(sha256 \w{12}, now none\)"
    ):
        start("recorded")


# Trials


@pytest.mark.parametrize("kind", ["plain", "recorded"])
@pytest.mark.parametrize("runs", ["mean", "draw"])
def test_a_trial_looks_its_network_up(start, place, run_trial, kind, runs):
    parameters = start(kind, seed=7).generate_parameters(0)
    code, final = run_trial(parameters, "--table", f"{kind}.json", "--runs", runs)
    assert code == 0
    found = journal_of(place).trials[0]
    table = Table.read(place.folder / f"{kind}.json")
    expected = TableEvaluator(table, runs, seed=7).look_up(found.sample)
    target = journal_of(place).run["trial"]["reward"]["target"]
    assert (found.state, found.accuracy, found.macs, found.params) == (
        "complete", expected.accuracy, expected.macs, expected.params,
    )  # fmt: skip
    assert found.reward == pytest.approx(nas.reward(expected.accuracy, expected.macs, target))
    assert final == [{"default": found.reward, "accuracy": found.accuracy, "macs": found.macs,
                      "params": found.params, "seconds": 0.0}]  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "recorded"])
def test_a_trial_has_its_line_of_the_hparams_page(start, place, run_trial, kind):
    parameters = start(kind).generate_parameters(0)
    assert run_trial(parameters, "--table", f"{kind}.json")[0] == 0
    found = events(place.folder / "runs" / "local" / "trials" / "000")
    data = found.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    written = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    values = {name: value.string_value or value.number_value for name, value in written.items()}
    assert values == journal_of(place).trials[0].sample | {"state": "complete"}
    assert found.Scalars("trial result/accuracy")[0].value == pytest.approx(
        journal_of(place).trials[0].accuracy
    )


def test_another_table_than_the_runs_is_refused(start, place, run_trial, capsys):
    parameters = start().generate_parameters(0)
    (place.folder / "other.json").write_text(json.dumps(plain()))
    assert run_trial(parameters, "--table", "other.json")[0] == 2
    reason = journal_of(place).trials[0].reason
    assert reason.startswith("trial: the table blocks found here (sha256 ")
    assert reason.endswith("restore it, or give the path of the run's with --table PATH")
    assert capsys.readouterr().err == f"nas trial: {reason}\n"


def test_a_trial_that_trains_is_refused_in_a_run_of_a_table(start, place, run_trial):
    parameters = start().generate_parameters(0)
    assert run_trial(parameters, "--data", "digits")[0] == 2
    assert journal_of(place).trials[0].reason == (
        "trial: the run is of a table of recorded results; give its path with --table"
    )


def test_a_trial_with_a_table_is_refused_in_a_run_of_none(place, run_trial, make_run):
    journal = make_run(("running", {}))
    parameters = {**journal.trials[0].sample, "run": {**journal.run["trial"], "number": 0}}
    assert run_trial(parameters, "--table", "recorded.json", run="abc123")[0] == 2
    journal.refresh()
    assert journal.trials[0].reason.startswith(
        "trial: --table is given, but the run is of no table; give --data"
    )


def test_under_nnis_own_tuners_what_is_not_recorded_is_rejected(place, run_trial):
    run_trial(dict.fromkeys(LAYERS, "identity"), "--table", "plain.json")
    run_trial(dict.fromkeys(LAYERS, "mb6k5"), "--table", "plain.json", job="job1")
    code, final = run_trial(dict.fromkeys(LAYERS[::-1], "identity"), "--table", "plain.json", job="job2")
    first, second, third = journal_of(place).trials.values()
    assert (first.state, third.state, third.accuracy) == ("complete", "duplicate", first.accuracy)
    assert (second.state, second.reason) == ("rejected", "not recorded in the table blocks")
    assert (code, final[0]["default"]) == (0, first.reward)


LIGHT = """
import json, sys
import nni
nni.get_next_parameter = lambda: json.loads(sys.argv[1])
nni.report_final_result = print
from nas.search import evaluating
code = evaluating.main(["--table", "plain.json"])
heavy = [name for name in ("torch", "torchvision", "matplotlib") if name in sys.modules]
sys.exit(f"{code} {heavy}" if code or heavy else 0)
"""


def test_a_trial_loads_no_torch(start, place):
    """Not even for its line of the HParams page."""
    parameters = start().generate_parameters(0)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NNI_")}
    environment = {**kept, "NNI_EXP_ID": "local", "NNI_TRIAL_JOB_ID": "j", "NNI_CODE_DIR": str(place.folder)}
    environment["PYTHONPATH"] = str(Path(nas.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, json.dumps(parameters)],
        env=environment, capture_output=True, text=True, check=False, cwd=place.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert journal_of(place).trials[0].state == "complete"
    assert list((place.folder / "runs/local/trials/000").glob("events.*"))


# By hand


def test_by_hand_a_sample_is_drawn_or_given(place, capsys):
    assert evaluating.main(["--table", "plain.json", "--seed", "4"]) == 0
    captured = capsys.readouterr()
    table = Table.read("plain.json")
    record = table.find(json.loads(captured.err))
    final = json.loads(captured.out)
    assert (final["macs"], final["accuracy"]) == (record.macs, pytest.approx(record.accuracies[1]))
    given = json.dumps({"stage1.op": "conv", "stage1.kernel": 3, "stage1.skip": "none", "stage1.channels": 8,
                        "stage1.layers": 1, "stage2.expand": 3, "stage2.se": 0})  # fmt: skip
    assert evaluating.main(["--table", "recorded.json", "--sample", given]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--table plain.json --data digits", "trial: argument --data: not allowed with argument --table; see"),
        ("--table plain.json --epochs 3 --no-augment --workers 0",
         "trial: --epochs, --no-augment, --workers belong to training, and --table trains nothing; see"),
        ("--table plain.json --lr 0.1", "trial: --lr belongs to training, and --table trains nothing; see"),
        ("--data digits --runs mean", "trial: --runs belongs to --table, and --data is given; leave one out; see"),
        ("--table plain.json --runs median", "trial: argument --runs: invalid choice: 'median'"),
        ("--table nowhere.json", "nowhere.json: cannot be read (No such file or directory); check the path"),
        ("--table plain.json --space digits", "plain.json: is a table of plain choices, and the search is of the"),
        ("--table plain.json --sample {}", "sample: choice 'layer1' is missing; allowed: identity, mb3k3, mb6k5"),
    ],
)  # fmt: skip
def test_by_hand_a_mistake_is_one_sentence(place, capsys, options, sentence):
    assert evaluating.main(options.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"nas trial: {sentence}")
    assert said.count("\n") == 1


# search.yml


@pytest.mark.parametrize("kind", ["plain", "recorded"])
def test_a_search_yml_names_a_table(place, kind, monkeypatch):
    path = place.yml(kind)
    monkeypatch.chdir("/")
    config = SearchConfig.read(path)
    assert config.subject.table.sha256 == Table.read(place.folder / f"{kind}.json").sha256
    assert config.subject.freezes == (kind == "recorded")
    if kind == "plain":
        assert config.data["searchSpace"] == f"table:{place.folder}/plain.json"


def test_a_csv_needs_no_name_of_its_space(place):
    rows = [
        "stage1.op,stage1.kernel,stage1.skip,stage1.channels,stage1.layers,stage2.expand,stage2.se,accuracy"
    ]
    rows += [
        f"{op},{kernel},none,8,{layers},3,0,0.5"
        for op in ("conv", "dsconv")
        for kernel in (3, 5)
        for layers in (1, 2)
    ]
    (place.folder / "r.csv").write_text("\n".join(rows))
    config = SearchConfig.read(place.yml("recorded", trialCommand="python -m nas.search.trial --table r.csv"))
    assert len(config.subject.table.records) == 8


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"searchSpace": "table:nowhere.json"}, "nowhere.json: cannot be read (No such file or directory)"),
        ({"trialCommand": "python -m nas.search.trial --table other.json"},
         "searchSpace is the table plain.json and --table is other.json, which has other content"),
        ({"trialCommand": "python -m nas.search.trial --data digits"},
         "search.yml, line N: searchSpace is a table, which trials look up: give --table, not --data"),
        ({"trialCommand": "python -m nas.search.trial --table plain.json --epochs 3"},
         "search.yml, line N: trial: --epochs belongs to training, and --table trains nothing"),
        ({"trialCommand": "python -m nas.search.trial"},
         "search.yml, line N: trial: one of the arguments --data --table is required"),
        ({"searchSpace": None, "searchSpaceFile": "tiny.yml"},
         "plain.json: is a table of plain choices, and the search is of the space tiny (sha256"),
        ({"searchSpaceFile": "tiny.yml"}, "search.yml, line N: both searchSpace and searchSpaceFile are given"),
        ({"class_args": {"limits": {"macs": 1}}}, "search.yml: classArgs: limits of macs 1 leave none of the 22"),
    ],
)  # fmt: skip
def test_a_mistake_in_search_yml_is_one_sentence(place, changes, sentence):
    (place.folder / "other.json").write_text(json.dumps(plain()))
    with pytest.raises(NasError) as caught:
        SearchConfig.read(place.yml(**changes))
    said = str(caught.value).replace(f"{place.folder}/", "")
    assert sentence in re.sub(r"line \d+", "line N", said)
    assert "\n" not in said


# From a journal


def test_the_pages_words_make_a_table_of_a_journal(place, make_run, document, tiny):
    page = Path(nas.__file__).parents[1] / "docs" / "tables.md"
    (code,) = re.findall(r"^```python\n(import json\n.*?)^```$", page.read_text(), flags=re.M | re.S)
    good = [("complete", {"accuracy": n / 8, "reward": 0.5}) for n in (4, 5)]
    journal = make_run(good[0], ("failed", {"reason": "why"}), good[1])
    (place.folder / "search_spaces").mkdir()
    (place.folder / "search_spaces" / "tiny.yml").write_text(yaml.safe_dump(document))
    exec(code.replace("RUN", "abc123"), {})
    table = Table.read("mine.json", tiny)
    first, second = (journal.trials[number] for number in (0, 2))
    assert [(r.accuracies, r.macs, r.key) for r in table.records] == [
        ((0.5,), first.macs, first.key), ((0.625,), second.macs, second.key),
    ]  # fmt: skip


# Pictures


def searched_for(start: Callable[..., StrategyTuner], run_trial: Any, kind: str, trials: int = 3) -> None:
    tuner = start(kind)
    for number in range(trials):
        assert (
            run_trial(tuner.generate_parameters(number), "--table", f"{kind}.json", job=f"j{number}")[0] == 0
        )
    tuner._study.learn()


@pytest.mark.drawn
@pytest.mark.parametrize("kind", ["plain", "recorded"])
def test_tensorboard_has_the_same_pages(start, run_trial, place, kind):
    searched_for(start, run_trial, kind)
    journal = journal_of(place)
    shown = StudyBoard(journal.path.parent, journal)
    shown.update()
    shown.close()
    found = events(journal.path.parent / "study")
    assert {"search/pareto", "search/choices"} == set(found.Tags()["images"])
    assert len(found.Scalars("search/reward")) == 3
    text = found.Tensors("best network/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert ("| layer1 |" in text) == (kind == "plain")
    assert (
        "recorded" in found.Tensors("run/text_summary")[-1].tensor_proto.string_val[0].decode()
        or kind == "plain"
    )


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        (["layer1", "layer2"], (1, 2)),
        ([f"layer{n}" for n in range(1, 9)], (2, 4)),
        (["$x$", "a.b.c", "stage1.op"], (1, 3)),
        (["stage1.op", "stage1.kernel", "stage2.op"], (2, 2)),
        ([f"layer{n}" for n in range(100)], (10, 6)),
    ],
)
def test_choices_of_any_name_have_a_picture(labels, shape):
    trials = [Trial(n, dict.fromkeys(labels, "a$" if n else "b_{"), str(n)) for n in range(3)]
    figure = choices_figure(trials, dict.fromkeys(labels, ("a$", "b_{")))
    figure.canvas.draw()
    assert len(figure.axes) == shape[0] * shape[1]


# The end


@pytest.fixture
def ended(place: Place, start: Any, run_trial: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `nas search --resume` prints of a search all of whose trials are in the journal."""

    def ending(kind: str, **arguments: Any) -> str:
        searched_for(start, run_trial, kind, trials=4)
        monkeypatch.setattr(main_job, "interrupted_by_signals", lambda: None)
        console = Console(record=True, width=200, soft_wrap=True, file=io.StringIO())
        given = {"trials": 4, "port": None, "resume": "local", "name": None, "full_epochs": None} | arguments
        main_job.run_search(console, place.yml(kind), **given)
        return console.export_text()

    return ending


def test_a_search_of_plain_choices_ends_with_its_winner(ended, place):
    said = ended("plain")
    best = journal_of(place).best()
    assert f"winner: trial {best.number}, reward {best.reward:.4f}, accuracy {best.accuracy:.4f}, " in said
    assert "sample: " + ", ".join(f"{label} {value}" for label, value in best.sample.items()) in said
    assert "blocks is a table of plain choices, so there is no baseline to freeze" in said
    assert not list(place.folder.glob("blocks-*.yml"))


def test_a_search_of_a_space_ends_with_a_baseline(ended, place, tiny):
    said = ended("recorded", name="mine")
    assert "mine  found by b0nas in the space tiny, by the table recorded" in said
    assert "baseline     mine.yml" in said
    baseline = nas.load("./mine.yml")
    best = journal_of(place).best()
    assert baseline.architecture.key == tiny.decode(best.sample).key
    assert baseline.source == "found by b0nas in the space tiny, by the table recorded"
    assert (baseline.facts.search_accuracy, baseline.facts.data) == (best.accuracy, "table recorded")


def test_plain_choices_are_not_frozen(start, run_trial, place):
    searched_for(start, run_trial, "plain", trials=1)
    with pytest.raises(
        NasError, match=r"^the table blocks is of plain choices, which make no baseline to freeze$"
    ):
        freeze(journal_of(place), name="mine")
    assert not Path("mine.yml").exists()


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        (
            "plain",
            {"full_epochs": 3},
            "--full-epochs trains the winner, but trialCommand has --table, which trains",
        ),
        ("recorded", {"full_epochs": 3}, "--full-epochs trains the winner, but trialCommand has --table"),
        ("plain", {"name": "mine"}, "--name names a frozen baseline, and a table of plain choices has none"),
    ],
)
def test_what_a_table_cannot_do_is_refused_before_anything_starts(
    place, monkeypatch, kind, arguments, sentence
):
    monkeypatch.setattr(main_job, "Experiment", lambda *_: pytest.fail("it starts"))
    given = {"trials": None, "port": None, "resume": None, "name": None, "full_epochs": None} | arguments
    with pytest.raises(NasError, match=f"^{sentence}"):
        main_job.run_search(Console(quiet=True), place.yml(kind), **given)
