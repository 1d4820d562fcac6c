"""The benchmark of strategies counts, pauses, stops and reports as it says, on tables worked by hand."""

import importlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.search import lines

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def module(name):
    """A module of the benchmarks, which are scripts beside each other and no package."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)


counting, macro_table, peers, problems = map(module, ("counting", "macro_table", "peers", "problems"))
rows, summary, synthetic, command = map(module, ("rows", "summary", "synthetic", "sample_efficiency"))


@pytest.fixture
def table_file(tmp_path):
    """All keys of three layers, in stages of 2 and 1: accuracy and cost grow with the digits, 122 is best."""
    entries = {}
    for digits in itertools.product("012", repeat=3):
        key = "".join(digits)
        one = macro_table.canonical(key)
        size = 1 + sum(int(digit) for digit in one if digit != "|")
        accuracy = 40.0 + 5 * size + (20 if key == "122" else 0)
        runs = [accuracy - 1, accuracy, accuracy + 1]
        entries[key] = {"test_acc": runs, "mean_acc": accuracy, "std": 1.0, "params": 1, "flops": 100 * size}
    path = tmp_path / "table.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def tiny(table_file):
    return macro_table.read(table_file)


class Scripted:
    """Asks what it is given, three digits each, and remembers what it is told."""

    def __init__(self, *keys):
        self._keys = iter(keys)
        self.told = []
        self.log = []

    def ask(self):
        key = next(self._keys, None)
        if key is None:
            return None
        self.log.append(f"ask {key}")
        return {f"layer{number}": digit for number, digit in enumerate(key, start=1)}

    def tell(self, sample, reward):
        self.told.append(("".join(sample.values()), reward))
        self.log.append(f"tell {''.join(sample.values())}")


def run(tiny, *keys, setting="accuracy", budget=10):
    asked = Scripted(*keys)
    return asked, counting.Run(asked, problems.problem(setting, 0, tiny), budget).run()


# The table


@pytest.mark.parametrize(
    ("key", "network"),
    [("02012100", "02|012|1"), ("00000000", "0|0|0"), ("10020001", "1|02|01"), ("22222222", "22|222|222")],
)
def test_zeros_that_are_not_first_in_their_stage_are_dropped(key, network):
    assert macro_table.canonical(key) == network


def test_the_full_table_has_as_many_networks_as_its_authors_count():
    keys = ("".join(digits) for digits in itertools.product("012", repeat=8))
    assert len({macro_table.canonical(key) for key in keys}) == 3969


def test_a_table_without_a_key_or_with_copies_that_differ_is_refused(table_file):
    entries = json.loads(table_file.read_text())
    lacking = {key: entry for key, entry in entries.items() if key != "000"}
    table_file.write_text(json.dumps(lacking))
    with pytest.raises(ValueError, match="26 keys of 3 digits"):
        macro_table.read(table_file)


# Counting


def test_distinct_networks_are_counted_until_the_best(tiny):
    asked, outcome = run(tiny, "000", "111", "122", "222")
    assert (outcome.evaluations, outcome.found, outcome.why, outcome.asks) == (3, True, None, 3)
    assert [key for key, _ in asked.told] == ["000", "111", "122"]
    assert asked.told[-1][1] == pytest.approx(0.40 + 0.05 * 6 + 0.20)  # size 1 + 1 + 2 + 2


def test_a_repeat_gets_the_recorded_answer_and_costs_nothing(tiny):
    asked, outcome = run(tiny, "111", "111", "111", "122")
    assert (outcome.evaluations, outcome.asks) == (2, 4)
    assert len({reward for key, reward in asked.told if key == "111"}) == 1


def test_copies_of_one_network_cost_nothing(table_file):
    keys = ["".join(digits) for digits in itertools.product("012", repeat=8)]
    entry = {"test_acc": [50.0, 50.0, 50.0], "flops": 100}
    best = {"test_acc": [90.0, 90.0, 90.0], "flops": 100}
    network = macro_table.canonical
    table_file.write_text(json.dumps({k: best if network(k) == "1|1|1" else entry for k in keys}))
    wide = macro_table.read(table_file)
    asked = Scripted("22020002", "22002020", "22200002", "10001001", "10100100")
    outcome = counting.Run(asked, problems.problem("hard", 0, wide), 10).run()
    assert (outcome.evaluations, outcome.asks) == (4, 5)


def test_a_failure_counts_the_budget(tiny):
    _, outcome = run(tiny, "000", "001", "002", "010", budget=3)
    assert (outcome.evaluations, outcome.found, outcome.why) == (3, False, "budget")
    assert len(outcome.incumbent) == 3


def test_a_strategy_without_more_samples_counts_the_budget_too(tiny):
    _, outcome = run(tiny, "000", "001")
    assert (outcome.evaluations, outcome.why) == (10, "no more samples after 2 evaluations")


@pytest.mark.parametrize("setting", ["accuracy", "accuracy-flight"])
def test_endless_repeats_end(tiny, setting):
    _, outcome = run(tiny, "000", *["001"] * 5000, setting=setting, budget=1000)
    assert (outcome.evaluations, outcome.found) == (1000, False)
    assert "copies in a row after 2 evaluations" in outcome.why
    assert outcome.asks <= 2 + counting.PATIENCE


def test_in_flight_the_oldest_is_told_before_the_next_is_asked(tiny):
    keys = [*("".join(d) for d in itertools.product("12", "012", "12") if d != ("1", "2", "2")), "122"]
    asked, outcome = run(tiny, *keys, setting="accuracy-flight", budget=20)
    first = [f"ask {key}" for key in keys[:8]]
    assert asked.log[:11] == [*first, f"tell {keys[0]}", f"ask {keys[8]}", f"tell {keys[1]}"]
    assert outcome.found
    assert outcome.evaluations == len({macro_table.canonical(key) for key in keys})


def test_a_copy_of_one_in_flight_hears_of_it_when_its_answer_comes(tiny):
    asked, outcome = run(tiny, "111", "001", "111", "122", setting="accuracy-flight")
    assert asked.log[4:] == ["tell 111", "tell 111", "tell 001", "tell 122"]
    assert (outcome.evaluations, outcome.asks) == (3, 4)


def test_with_noise_the_incumbent_is_the_best_observed_and_judged_by_the_truth(tiny):
    problem = problems.problem("accuracy-noisy", 3, tiny)
    samples = [dict(zip(problem.choices, key, strict=True)) for key in tiny.keys]
    off = [problem.accuracy(sample) - problem.truth(sample) for sample in samples]
    assert {round(gap, 6) for gap in off} == {-0.01, 0.0, 0.01}
    outcome = counting.Run(Scripted("001", "122", "000"), problem, 3).run()
    assert outcome.incumbent == pytest.approx([0.50, 0.9, 0.9])
    assert (outcome.evaluations, outcome.after(50)) == (2, pytest.approx(0.9))


# Settings


def test_rewards_are_worked_by_hand(tiny):
    sample = {"layer1": "1", "layer2": "2", "layer3": "2"}  # accuracy 0.9, 600 multiply-adds
    sizes = sorted(1 + sum(map(int, key)) for key in tiny.keys)
    target = 100 * sizes[len(sizes) // 2]
    worth = {name: problems.problem(name, 0, tiny).reward(sample) / 0.9 for name in problems.REWARDS}
    assert target == 400
    assert worth["soft"] == pytest.approx((600 / 400) ** -0.07)
    assert worth["hard"] == pytest.approx(400 / 600)
    assert worth["hard25"] == pytest.approx(300 / 600)
    assert worth["hard75"] == pytest.approx(500 / 600)
    assert worth["pair"] == pytest.approx(1.5**-0.2)
    assert worth["accuracy"] == pytest.approx(1)


def test_permuted_labels_are_the_same_networks_under_other_names(tiny):
    plain, shuffled = (problems.problem(name, 1, tiny) for name in ("hard", "hard-permuted"))
    samples = [dict(zip(plain.choices, key, strict=True)) for key in tiny.keys]
    assert sorted(map(plain.reward, samples)) == sorted(map(shuffled.reward, samples))
    assert [*map(plain.reward, samples)] != [*map(shuffled.reward, samples)]
    assert plain.best == shuffled.best


def test_a_sub_table_lacks_one_choice(tiny):
    problem = problems.problem("soft-sub", 1, tiny)
    assert [*problem.choices] == ["layer1", "layer3"]
    samples = [dict(zip(problem.choices, key, strict=True)) for key in itertools.product("012", repeat=2)]
    assert max(map(problem.truth, samples)) == problem.best


@pytest.mark.parametrize("name", ["sfot", "soft-nosiy", "huge-noisy"])
def test_an_unknown_setting_is_refused(name):
    with pytest.raises(ValueError, match="is none of"):
        problems.expand(name)


@pytest.mark.parametrize("name", ["interacting", "huge"])
def test_made_up_spaces_repeat_with_the_seed_and_know_their_best(name):
    problem, again, other = (synthetic.made_up(name, seed, 1) for seed in (0, 0, 1))
    sample = {label: values[1] for label, values in problem.choices.items()}
    assert problem.truth(sample) == again.truth(sample) != other.truth(sample)
    assert problem.truth(sample) == pytest.approx(problem.reward(sample))
    assert problem.best is None or problem.truth(sample) <= problem.best
    assert (problem.best is None) == (name == "huge")


# Strategies


@pytest.mark.parametrize("name", [name for name in peers.PEERS if peers.PEERS[name].package != "optuna"])
@pytest.mark.parametrize("setting", ["soft", "soft-flight"])
def test_peers_ask_and_are_told(tiny, name, setting):
    kind, problem = peers.PEERS[name], problems.problem(setting, 0, tiny)
    if peers.unfit(kind, problem.in_flight):
        assert name == "hill-climb"
        return
    asked = kind(problem, 0)
    outcome = counting.Run(asked, problem, 27).run()
    asked.close()
    assert outcome.found


def test_a_peer_that_is_missing_says_so():
    missing = type("Missing", (peers.Peer,), {"package": "no_such_package"})
    assert peers.unfit(missing, 1) == "no_such_package is not installed"
    assert "sequential only" in peers.unfit(peers.HillClimb, 8)


# Rows and reports


def test_a_run_goes_on_where_it_was_interrupted(table_file, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = [
        "x",
        "--table",
        table_file,
        "--strategies",
        "hill-climb,random",
        "--settings",
        "soft,soft-flight",
    ]
    arguments += ["--budget", 12, "--out", out]
    for seeds, fresh in (("2", 6), ("3", 3)):
        monkeypatch.setattr(sys, "argv", [*map(str, arguments), "--seeds", seeds])
        assert command.main() == 0
        assert f"{fresh}/{fresh} " in capsys.readouterr().out
    file = out / "soft.hill-climb.jsonl"
    file.write_text(file.read_text()[:-20])  # killed while it wrote
    assert command.main() == 0
    assert [row["seed"] for row in rows.read(file)] == [0, 1, 2]
    printed = capsys.readouterr().out
    assert "1/1 soft hill-climb seed 2" in printed
    assert "hill-climb: not measured, sequential only" in printed


def row(strategy, seed, evaluations, found=True, setting="hard", **more):
    return {
        "strategy": strategy, "setting": setting, "seed": seed, "budget": 100, "cap": None,
        "measure": "evaluations", "evaluations": evaluations, "found": found,
        "why": None if found else "budget", "asks": evaluations, "seconds": 0.5,
        "regret": {"50": 0.0, "100": 0.0}, "versions": {"optuna": "5.0.0"}, "code": None,
        "date": "2026-01-01", "machine": {"cores": 2}, **more,
    }  # fmt: skip


def test_a_report_is_made_of_rows_alone(tmp_path):
    for seed, (ours, theirs) in enumerate([(10, 20), (20, 50), (30, 100)]):
        rows.append(tmp_path, row("model", seed, ours))
        rows.append(tmp_path, row("peer", seed, theirs, found=theirs < 100))
    rows.append(
        tmp_path, {"strategy": "gone", "setting": "hard", "seed": None, "budget": 100, "unavailable": "why"}
    )
    text = summary.report(rows.read_all(tmp_path))
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
             for line in text.splitlines() if line.startswith("|")}  # fmt: skip
    seeds, mean, median, p90, failed, *_, gap, seconds = cells["peer"]
    assert (seeds, median, p90, failed, seconds) == ("3", "50", "90", "1", "0.5")
    assert mean == "56.7"  # three seeds say nothing of their spread
    assert gap == "-36.7"
    assert cells["model"][1] == "20.0"
    assert "- gone: not measured, why" in text
    assert "optuna 5.0.0; cores 2" in text


def test_who_is_given_up_early_has_a_lower_bound_for_a_mean_and_comes_last():
    found = [row("model", 0, 60), row("slow", 0, 20, found=False, cap=20), row("quick", 0, 10, cap=20)]
    lines = [line for line in summary.report(found).splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["quick (cap 20)", "model", "slow (cap 20)"]
    assert "| at least 20.0 " in lines[-1]


def test_the_interval_of_a_mean_is_sane():
    assert summary.interval([5.0] * 10) == (5.0, 5.0)
    low, high = summary.interval([0.0, 1.0] * 50)
    assert 0.38 < low < 0.42  # 0.5 -+ 1.96 * 0.5 / 10
    assert 0.58 < high < 0.62
    assert summary.interval([0.0, 1.0] * 50) == (low, high)


def test_regrets_are_in_percent_of_the_best():
    outcome = counting.Outcome(2, incumbent=[0.4, 0.45])
    assert rows.measured(outcome, best=0.5)["regret"] == {"50": 10.0, "100": 10.0}
    assert rows.measured(outcome, best=None)["reward"] == {"50": 0.45, "100": 0.45}


def test_the_page_of_results_is_what_the_rows_say():
    """Every table of docs/results.md, recomputed."""
    printed = summary.report(
        rows.read_all(command.OUT), {name: kind.note for name, kind in peers.known().items()}
    )
    tables = [line for line in printed.splitlines() if line.startswith("|")]
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text()
    written = page[page.index("## All tables") :].splitlines()
    assert [line for line in written if line.startswith("|")] == tables


def test_the_tables_of_the_faults_are_those_of_their_rows():
    done = subprocess.run(
        [sys.executable, BENCHMARKS.parent / "tests" / "faults" / "table.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    page = (BENCHMARKS.parent / "docs" / "faults.md").read_text()
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 2
    assert all(table in page for table in tables)


def test_the_tables_of_certificates_are_those_of_its_rows():
    page = (BENCHMARKS.parent / "docs" / "own-images.md").read_text()
    tables = module("certificates").report().strip().split("\n\n")
    assert len(tables) == 3
    rows = [
        json.loads(line) for line in (BENCHMARKS / "results" / "certificates.jsonl").read_text().splitlines()
    ]
    assert max(row["upper"] for row in rows if row["kind"] == "null") <= 0.07
    (half,) = [row for row in rows if (row.get("difference"), row.get("seeds")) == (0.5, 5)]
    assert half["told"] / half["certificates"] >= 0.8
    assert not [row for row in rows if row["kind"] == "differs"]
    assert [table in page for table in tables] == [True] * 3


def test_the_tables_of_cifar_are_those_of_its_rows(capsys):
    module("cifar_family").report()
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text()
    printed = capsys.readouterr().out.strip()
    assert printed.count("\n| ") > 15
    assert printed in page


def test_cifar_anew_ends_with_the_best_dimension_at_4x(tmp_path, monkeypatch):
    """Where nothing was planned by the earlier planner, the networks that it had planned badly have no rows."""
    family, cifar_rows = module("cifar_family"), module("cifar_rows")
    there = cifar_rows.OUT
    monkeypatch.setattr(cifar_rows, "OUT", tmp_path)
    (tmp_path / "search.jsonl").write_text((there / "search.jsonl").read_text())
    worth = {"width-2x": 0.7, "depth-2x-even": 0.8, "resolution-2x": 0.6}
    assert not any(name.endswith("-4x") for name in family.networks())
    for name, accuracy in worth.items():
        for seed in cifar_rows.SEEDS:
            cifar_rows.write("train", {"network": name, "seed": seed, "accuracy": accuracy})
    assert "depth-4x" in family.networks()


def test_the_section_of_digits_is_that_of_its_files():
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text()
    assert module("digits_run").report() in page


def test_the_table_of_exponents_is_that_of_its_rows():
    page = (BENCHMARKS.parent / "docs" / "own-images.md").read_text()
    assert module("exponents").report() in page


def test_rows_say_nothing_of_the_machine_they_were_made_on():
    found = [path for path in (BENCHMARKS / "results").rglob("*") if path.is_file()]
    assert found
    home = re.compile(rb"[\"' ]/(home|root|tmp|work|Users)/")
    assert [path.name for path in found if home.search(path.read_bytes())] == []
    event = {
        "event": "run",
        "command": "/home/me/.venv/bin/python -m nas.search.trial --data digits",
        "nni": "/home/me/x",
    }
    (line,) = lines.read(module("digits_run").without_machine(lines.dump(event)))
    assert line.checked
    assert {
        "event": "run",
        "command": "python -m nas.search.trial --data digits",
    }.items() <= line.event.items()
    assert "nni" not in line.event


# Several things measured in turns


def test_rows_of_before_stay_until_all_new_ones_are_there(tmp_path, monkeypatch, capsys):
    rounds, file = module("rounds"), tmp_path / "x.jsonl"
    file.write_text('{"n": 0}\n')
    monkeypatch.setattr(sys, "argv", ["x.py", "measure"])

    def interrupted():
        yield {"n": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds.run(file, interrupted, str)
    assert file.read_text() == '{"n": 0}\n'
    assert file.with_name("x.jsonl.part").read_text() == '{"n": 1}\n'
    rounds.run(file, lambda: [{"n": 1}, {"n": 2}], str)
    assert capsys.readouterr().out == "[{'n': 1}, {'n': 2}]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_what_trials_cost_is_told_of_one_warm_process_alone():
    trial_start = module("trial_start")
    common = {"date": "2026-01-01", "seed": 0, "versions": {"torch": "2"}, "warm processes": [7], "wall": 1.0}
    rows = [{"way": "warm", "round": None, "processor": 8.0, **common}]
    for number in range(3):
        for way, overhead in (("plain", 6), ("cold", 5), ("warm", 0.5)):
            facts = {"round": number, "way": way, "training": 2.0, "processor": 2 + overhead, "load": 1.0}
            rows.append({**common, **facts})
    text = trial_start.report(rows)
    assert "| warm | 0.50 (0.50 to 0.50) | 2.50 (2.50 to 2.50) | 2.00 (2.00 to 2.00) |" in text
    assert "n = 3 rounds" in text
    for others in ([8], [], [7, 8]):
        rows[-1]["warm processes"] = others
        with pytest.raises(SystemExit, match="not one and the same through all rounds"):
            trial_start.report(rows)


def test_waiting_is_told_with_the_load_it_was_seen_under():
    row = {"date": "2026-01-01", "seed": 0, "versions": {"torch": "2"}, "cores": 2, "case": "digits", "macs": 1e6,
           "images": 100, "epochs": 2, "seconds": 1.0, "working": 0.25,
           "waiting": {"epochs": 0.2, "scorings": 0.1, "others": 0.03}}  # fmt: skip
    text = module("data_path").report([{**row, "load": load} for load in (1.0, 2.0, 3.0)])
    assert "| load |" in text
    assert text.splitlines()[-1].endswith("| 2.0 (1.0 to 3.0) |")
    share = "| 33.0 (33.0 to 33.0) | 3.0 (3.0 to 3.0) |"
    assert f"{share} 0.10 (0.10 to 0.10) | 0.05 (0.05 to 0.05) | 25.00" in text
