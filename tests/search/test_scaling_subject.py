"""The grid search of coefficients: grid, costs, keys, journal, trials, what is written where, and mistakes."""

import io
import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

import nas
from nas import NasError, catalog
from nas.documents import BaselineDocument
from nas.grid_report import grid_report
from nas.scale_job import grid_search
from nas.search import evaluating
from nas.search.asktell import AskTell
from nas.search.config import SearchConfig
from nas.search.finding import check_unchanged, find_subject, subject_of
from nas.search.journal import FILE, Journal
from nas.search.scaling_grid import MOST, GridSettings, coefficients_of, grid
from nas.search.scaling_subject import CHOICE, ScalingSubject
from nas.search.settings import Limits, TunerSettings
from nas.search.strategies import make
from nas.search.study import Study
from nas.search.tuner import StrategyTuner
from nas.search.winner import freeze

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "name": "small", "source": "mine", "resolution": 16, "stem": {"channels": 16, "stride": 1, "in_chans": 1},
    "stages": [
        {"op": "dsconv", "kernel": 3, "channels": 16, "layers": 2},
        {"op": "mbconv", "kernel": 3, "expand": 3, "channels": 24, "layers": 3, "stride": 2},
    ],
    "head": {"channels": 64, "classes": 2},
    "activation": "swish",
}  # fmt: skip
SMALL = GridSettings(step=0.2, tolerance=0.1)

Written = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with baselines/small.yml, search.yml and a comment that must stay."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    text = "# by hand\n" + yaml.safe_dump(BASE, sort_keys=False) + "dropout: 0.1   # of mine\n"
    (tmp_path / "baselines" / "small.yml").write_text(text)
    return tmp_path


@pytest.fixture
def search_file(home: Path, images: Path) -> Written:
    def write(**changes: Any) -> Path:
        config = yaml.safe_load((ROOT / "search.scale.yml").read_text())
        config["trialCommand"] = f"python -m nas.search.trial --data npz:{images} --epochs 1"
        config["tuner"]["classArgs"]["scaling"] = SMALL.model_dump()
        config = {key: value for key, value in (config | changes).items() if value is not None}
        (home / "search.yml").write_text(yaml.safe_dump(config))
        return home / "search.yml"

    return write


def small(settings: GridSettings = SMALL) -> ScalingSubject:
    return ScalingSubject(BaselineDocument.check(BASE, "small"), settings)


@pytest.fixture
def searched(home: Path) -> Journal:
    """A finished run: accuracy is highest for the network that is deepest."""
    subject = find_subject("scale:small", None, home, scaling=SMALL).with_data(2, 1)
    settings = TunerSettings.read({"scaling": SMALL.model_dump()}, default="random")
    study = Study(home / "runs" / "grid1", settings, subject, {"maxTrialNumber": 50, "trialConcurrency": 1})
    while (number := study.propose()) is not None:
        arch = subject.architecture(study.journal.trials[number].sample)
        layers = sum(stage.layers for stage in arch.stages)
        facts = {"accuracy": layers / 20, "macs": arch.macs, "params": arch.params, "seconds": 1.0}
        study.journal.told(number, "complete", reward=layers / 20, **facts)
        study.learn()
    study.close()
    return study.journal


# The grid


def test_the_default_grid_admits_the_papers_answer_and_keeps_to_the_equation():
    values = grid(GridSettings())
    assert "1.2,1.1,1.15" in values
    assert len(values) == len(set(values))
    for value in values:
        alpha, beta, gamma = map(Fraction, value.split(","))
        assert min(alpha, beta, gamma) >= 1
        assert abs(alpha * beta**2 * gamma**2 - 2) <= Fraction("0.1")
    rest = (range(100, 215, 5), range(100, 150, 5), range(100, 150, 5))  # by brute force, in hundredths
    count = sum(
        abs(a * b * b * g * g - 2 * 10**10) <= 10**9 for a in rest[0] for b in rest[1] for g in rest[2]
    )
    assert len(values) == count


def test_one_dimension_alone_is_of_the_grid():
    values = grid(GridSettings(step=1, tolerance=0))
    assert values == ("2,1,1",)
    assert {"1,1,1.4", "1,1.4,1", "2,1,1"} <= set(grid(GridSettings()))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            GridSettings(step=0.3, tolerance=0),
            "step 0.3 and tolerance 0 leave no coefficients; raise tolerance",
        ),
        (GridSettings(step=0.001, tolerance=0.1), f"leave over {MOST} coefficients; raise step"),
    ],
)
def test_a_grid_of_nothing_or_of_too_much_is_refused(settings, sentence):
    with pytest.raises(NasError, match=sentence):
        grid(settings)


@pytest.mark.parametrize(
    ("scaling", "sentence"),
    [
        ({"stp": 0.1}, "scaling.stp|unknown key 'stp'.*did you mean 'step'"),
        ({"step": 0}, "step"),
        ({"multiple": 1}, "multiple"),
        ([1], "scaling"),
    ],
)
def test_settings_are_read_strictly(scaling, sentence):
    with pytest.raises(NasError, match=sentence):
        TunerSettings.read({"scaling": scaling})


# The subject


def test_every_candidate_costs_twice_the_baseline_of_a_network_with_room():
    subject = find_subject("scale:mobilenet-v2", None, ROOT, scaling=GridSettings(step=0.1))
    assert isinstance(subject, ScalingSubject)
    base = nas.load("mobilenet-v2").architecture
    for value in subject.choices[CHOICE]:
        arch, cost = subject.architecture({CHOICE: value}), subject.cost({CHOICE: value})
        assert cost == {"macs": arch.macs, "params": arch.params}
        assert arch.macs / base.macs == pytest.approx(2, rel=0.03), value
    assert subject.target == 2 * base.macs
    assert "(2 x the baseline's 301M)" in subject.headline()


def test_costs_are_fitted_to_the_data_and_the_multiple_is_settable():
    subject = small(GridSettings(step=0.2, multiple=4)).with_data(7, 3)
    arch = subject.architecture(subject.random(np.random.default_rng(0)))
    assert (arch.head.classes, arch.stem.in_chans) == (7, 3)
    assert (
        subject.target
        == 4 * nas.baseline.from_document(BaselineDocument.check(BASE, "x")).architecture.with_data(7, 3).macs
    )


def test_coefficients_that_make_one_network_have_one_key_and_the_nearest_speaks_for_it():
    subject = small(GridSettings())
    keys: dict[str, list[str]] = {}
    for value in subject.choices[CHOICE]:
        keys.setdefault(subject.key({CHOICE: value}), []).append(value)
    assert len(keys) == subject.networks() < len(subject.choices[CHOICE])
    for key, values in keys.items():
        assert subject.nearest(key) in values


@pytest.mark.parametrize("strategy", ["random", "model", "local"])
def test_each_network_is_proposed_once_by_any_strategy(strategy):
    subject = small()
    talk = AskTell(subject.view(Limits()), make(strategy, {}, seed=0), seed=0)
    keys = []
    while (sample := talk.ask()) is not None:
        keys.append(subject.key(sample))
        talk.tell(sample, 0.5 + len(keys) / 100, 0.5)
    talk.close()
    assert len(keys) == len(set(keys)) == subject.networks()


def test_the_journals_form_makes_it_again():
    subject = small().with_data(5, 3)
    again = subject_of(json.loads(json.dumps(subject.form())))
    assert again.form() == subject.form()
    assert again.choices == subject.choices
    sample = subject.random(np.random.default_rng(1))
    assert again.key(sample) == subject.key(sample)
    check_unchanged(again, subject.form(), "here")


def test_the_fingerprint_is_of_the_network_alone():
    changed = BASE | {"scaling": {"alpha": 1, "beta": 1, "gamma": 1.4}, "source": "other", "dropout": 0.3}
    wider = BASE | {"head": {"channels": 128, "classes": 2}}
    of = lambda data: ScalingSubject(BaselineDocument.check(data, "x"), SMALL)  # noqa: E731
    assert of(changed).sha256 == small().sha256 != of(wider).sha256
    with pytest.raises(NasError, match="its space scale:small was changed since the run began"):
        check_unchanged(of(wider), small().form(), "here")


def test_limits_leave_out_networks_or_are_told_to_leave_none():
    subject = small()
    least = min(plan.architecture.params for plan in subject.planned.values())
    assert 0 < subject.networks(Limits(params=least)) < subject.networks()
    with pytest.raises(
        NasError, match=r"the limits leave none of the .* networks of scale:small, whose least"
    ):
        subject.check(Limits(macs=10))


@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        ({}, "the sample has nothing; give coefficients alone"),
        ({CHOICE: "1,1,1.4", "run": 1}, "the sample has coefficients, run"),
        ({CHOICE: "1.2,1.1"}, r"coefficients is '1.2,1.1'.*give alpha,beta,gamma of the grid, such as '"),
        ({CHOICE: 3}, "coefficients is 3; give alpha,beta,gamma"),
    ],
)
def test_other_samples_are_refused(sample, sentence):
    with pytest.raises(NasError, match=sentence):
        small().validate(sample)


# search.yml


def test_a_file_without_a_search_space_gets_the_baseline_and_every_network(search_file):
    config = SearchConfig.read(search_file(), searched="scale:small")
    assert isinstance(config.subject, ScalingSubject)
    assert config.trials == config.subject.networks()
    assert config.tuner is not None
    assert config.tuner.strategy.name == "random"
    assert config.data["searchSpace"] == f"scale:{Path('baselines/small.yml').resolve()}"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"searchSpace": "scale:smal"}, "line .*: searchSpace is scale:smal, but there is no baseline 'smal' .did"),
        ({"searchSpace": "scale:nowhere/x.yml"}, "nowhere/x.yml: there is no such file"),
        ({"searchSpace": "digits", "maxTrialNumber": 3}, "scaling is of the grid search.*but searchSpace is 'digits'"),
        ({"searchSpace": "scale:small", "tuner": {"name": "Random"}}, "scale: is a search space of our tuner alone"),
        ({"searchSpace": "scale:small", "trialCommand": "python -m nas.search.trial --table x.json"}, "give --data"),
        ({}, "searchSpaceFile is missing; .* nas scale BASELINE --search"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file_are_one_sentence(search_file, changes, sentence):
    with pytest.raises(NasError, match=sentence):
        SearchConfig.read(search_file(**changes))


def test_a_baseline_whose_pixels_end_before_its_strides_is_refused(home, search_file):
    low = BASE | {"resolution": 1}
    (home / "baselines" / "low.yml").write_text(yaml.safe_dump(low))
    with pytest.raises(NasError, match=r"low.yml.*stride is 2 on a map of 1 x 1 pixel.*raise the resolution"):
        SearchConfig.read(search_file(searchSpace="scale:low"))
    (home / "baselines" / "space.yml").write_text((ROOT / "search_spaces" / "digits.yml").read_text())
    with pytest.raises(NasError, match=r"space.yml.*a baseline writes one value"):
        SearchConfig.read(search_file(searchSpace="scale:space"))


# The tuner and its trials


def test_the_tuner_finds_the_baseline_and_goes_on_without_its_file(home, monkeypatch):
    def begun() -> StrategyTuner:
        tuner = StrategyTuner(scaling=SMALL.model_dump())
        tuner.update_search_space("scale:small")
        return tuner

    first = begun()
    proposal = first.generate_parameters(0)
    assert set(proposal) == {CHOICE, "run"}
    assert proposal["run"]["scaling"] == SMALL.model_dump()
    assert first._study.journal.run["strategy"]["name"] == "random"
    first._on_exit()
    (home / "baselines" / "small.yml").unlink()
    again = begun()
    assert again.generate_parameters(0)["run"]["sha256"] == proposal["run"]["sha256"]
    again._on_exit()


def test_a_trial_trains_its_network_and_checks_the_baseline(home, images, capsys):
    options = ["--data", f"npz:{images}", "--epochs", "1", "--space", "scale:small"]
    value = grid(GridSettings())[0]
    assert evaluating.main([*options, "--sample", json.dumps({CHOICE: value})]) == 0
    final = json.loads(capsys.readouterr().out.splitlines()[-1])
    arch = small(GridSettings()).with_data(2, 1).architecture({CHOICE: value})
    assert (final["macs"], final["params"]) == (arch.macs, arch.params)
    assert arch.resolution > 16

    run = {**small().trial_form(), "sha256": "0" * 64, "reward": {}, "limits": {}, "seed": 0}
    parsed = evaluating.parser().parse_args(options[:4])
    with pytest.raises(
        NasError, match=r"the baseline small found here .* is not the run's .* --space scale:PATH"
    ):
        evaluating.run(parsed, {CHOICE: value, "run": run}, evaluating.Reporter(None, None))


# What is written


def test_the_winner_and_the_whole_table_go_into_the_users_document(home, searched):
    path = home / "baselines" / "small.yml"
    before = nas.load(path)
    baseline, written = freeze(searched)
    assert written.resolve() == path
    found = nas.load(path)
    assert found == baseline
    assert (found.architecture, found.source, found.dropout) == (before.architecture, "mine", 0.1)
    line = found.scaling
    assert line is not None
    assert line.table is not None
    assert line.search is not None
    assert len(line.table) == len(small().choices[CHOICE])
    best = max(searched.ended(), key=lambda t: (t.reward, -t.number))
    chosen = [
        row for row in line.table if (row.alpha, row.beta, row.gamma) == (line.alpha, line.beta, line.gamma)
    ]
    assert [row.trial for row in chosen] == [line.search.trial] == [best.number]
    assert all(row.accuracy is not None for row in line.table)
    text = path.read_text()
    assert text.startswith("# by hand\n")
    assert "dropout: 0.1   # of mine" in text
    assert nas.scaling.coefficients(found) == (line.alpha, line.beta, line.gamma)
    freeze(searched)  # its own may be written again
    assert nas.load(path) == found


def test_coefficients_of_another_search_are_kept_without_force(home, searched):
    path = home / "baselines" / "small.yml"
    path.write_text(path.read_text() + "scaling: {alpha: 1.3, beta: 1, gamma: 1.2}\n")
    before = path.read_text()
    with pytest.raises(NasError, match=r"has coefficients .alpha 1.3, beta 1, gamma 1.2.; give --force"):
        freeze(searched)
    assert path.read_text() == before
    freeze(searched, force=True)
    assert nas.load(path).scaling.search.experiment == "grid1"
    assert path.read_text().count("scaling:") == 1


def test_a_run_elsewhere_needs_its_journal_alone(home, searched, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(searched.path, elsewhere / FILE)
    shutil.rmtree(home / "baselines")
    monkeypatch.chdir(elsewhere)
    journal = Journal(elsewhere / FILE)
    journal.refresh()
    baseline, path = freeze(journal)
    assert path == Path("small.yml")
    assert nas.load(path.resolve()) == baseline
    (elsewhere / "other.yml").write_text("x")
    with pytest.raises(NasError, match=r"other.yml exists; choose another --name, or give --force"):
        freeze(journal, name="other")
    with pytest.raises(NasError, match=r"other.yml exists; choose another --output, or give --force"):
        freeze(journal, output=elsewhere / "other.yml")


def test_a_shipped_baseline_is_copied(home, searched, monkeypatch):
    monkeypatch.setattr(catalog, "shipped", lambda kind: home / "shipped")
    monkeypatch.setattr(catalog, "PUBLISHED", {"small"})
    (home / "shipped").mkdir()
    shipped = home / "shipped" / "small.yml"
    shutil.move(home / "baselines" / "small.yml", shipped)
    before = shipped.read_text()
    subject = find_subject(f"scale:{shipped}", None, home, scaling=SMALL).with_data(2, 1)
    searched.run["path"] = str(subject.path)  # type: ignore[attr-defined]
    _, path = freeze(searched)
    assert path == Path("baselines/small.yml")
    assert shipped.read_text() == before


def test_a_document_of_ones_own_beside_those_that_came_is_written_into(home, searched, monkeypatch):
    """In a checkout a user's own baselines, with no search behind them, lie in the folder of the shipped ones."""
    monkeypatch.setattr(catalog, "shipped", lambda kind: home / kind)
    _, path = freeze(searched)
    assert path.resolve() == home / "baselines" / "small.yml"
    assert nas.load(path).scaling is not None


def test_the_table_is_printed_with_every_candidate(home, searched):
    baseline, _ = freeze(searched)
    out = io.StringIO()
    assert baseline.scaling is not None
    grid_report(Console(file=out, width=140), baseline.scaling)
    lines = [line for line in out.getvalue().splitlines() if line.count(".") > 3 and "%" not in line]
    assert len([line for line in lines if line.strip()[0].isdigit()]) == len(small().choices[CHOICE])
    assert f"alpha {baseline.scaling.alpha:g}, beta" in out.getvalue()


def test_the_table_says_what_failed_how_far_off_each_cost_is_and_whether_to_believe_it(home, searched):
    baseline, _ = freeze(searched)
    assert baseline.scaling is not None
    table = baseline.scaling.table
    assert table is not None
    last = max(row.trial for row in table if row.trial is not None)
    rows = [
        row.model_copy(update={"accuracy": None, "reward": None}) if row.trial == last else row
        for row in table
    ]
    out = io.StringIO()
    grid_report(
        Console(file=out), baseline.scaling.model_copy(update={"table": rows}), 10_000, {last: "diverged"}
    )
    assert f"trial {last} failed: diverged\n" in out.getvalue()
    assert f"{100 * (table[0].macs / 10_000 - 1):+.1f} %" in out.getvalue()
    assert "warning" not in out.getvalue()
    winner = (baseline.scaling.alpha, baseline.scaling.beta, baseline.scaling.gamma)
    rows = [
        row if (row.alpha, row.beta, row.gamma) == winner else row.model_copy(update={"accuracy": None})
        for row in table
    ]
    grid_report(Console(file=out), baseline.scaling.model_copy(update={"table": rows}))
    assert re.search(r"warning: 1 of about \d+ networks have an accuracy, fewer than half", out.getvalue())


def test_members_of_the_family_have_the_coefficients_without_the_table(home, searched):
    baseline, _ = freeze(searched)
    members = nas.scaling.family(baseline, [1.0])
    path = nas.report.save_family(baseline, members, force=False)[0]
    assert nas.load(path.resolve()).scaling == baseline.scaling.bare


# nas scale --search


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"baseline": "smal"}, "there is no baseline 'smal'"),
        ({"searchSpace": "digits", "scaling": None, "maxTrialNumber": 3}, "searches 'digits', not the coefficients"),
        ({"searchSpace": "scale:mobilenet-v2"}, "searches 'scale:.*', not the coefficients of small"),
        ({"resume": "nothing"}, "there is no run 'nothing'"),
    ],
)  # fmt: skip
def test_nas_scale_tells_mistakes_before_it_begins(search_file, arguments, sentence):
    changes = {key: value for key, value in arguments.items() if key[0] in "sm"}
    if "scaling" in changes:
        del changes["scaling"]
        changes["tuner"] = yaml.safe_load((ROOT / "search.scale.yml").read_text())["tuner"]
    path = search_file(**changes)
    with pytest.raises(NasError, match=sentence):
        grid_search(
            Console(file=io.StringIO()), arguments.get("baseline", "small"), path, None, None,
            arguments.get("resume"), False,
        )  # fmt: skip


def test_a_run_of_another_network_is_not_resumed_for_this_one(home, searched, search_file):
    path = home / "baselines" / "small.yml"
    path.write_text(path.read_text().replace("channels: 64", "channels: 128"))
    with pytest.raises(NasError, match="grid1 searched the coefficients of another network"):
        grid_search(Console(file=io.StringIO()), "small", search_file(), None, None, "grid1", False)


def test_coefficients_read_back():
    assert coefficients_of("1.2,1.1,1.15") == (1.2, 1.1, 1.15)
