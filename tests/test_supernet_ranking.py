"""The ranking experiment draws its networks once, shows fresh ones to one variant, and reports what its rows say."""

import importlib
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def module(name):
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)


ranking, report, made, judging = map(
    module, ("supernet_ranking", "supernet_report", "supernet_rows", "supernet_judging")
)


def test_the_networks_are_the_protocols():
    import nas

    space, found = nas.SearchSpace.load("cifar"), ranking.networks()
    archs = {name: [space.decode(sample) for sample in samples] for name, samples in found.items()}
    assert {name: len(some) for name, some in archs.items()} == {"tuned": 12, "fresh": 36}
    assert len({arch.key for some in archs.values() for arch in some}) == 48
    assert all(arch.macs <= 10e6 for some in archs.values() for arch in some)
    assert all(abs(arch.macs / 6e6 - 1) <= 0.05 for arch in archs["fresh"][:24])


def test_drawn_once_and_fresh_ones_shown_to_one_variant():
    with pytest.raises(SystemExit, match=r"networks\.json is there already"):
        ranking.draw()
    other = next(name for name in ranking.VARIANTS if name != ranking.CHOSEN)
    with pytest.raises(SystemExit, match="fresh networks are looked at with the variant that is CHOSEN"):
        ranking.shared("x.npz", Path("work"), other, fresh=True)


def test_figures_by_hand():
    assert made.kendall([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert made.spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    # taus of 1/3, 1/3 and -1/3: (1/3 + 1/9) / (1 - 1/9)
    assert made.partial([1, 2, 3], [1, 3, 2], [2, 1, 3]) == pytest.approx(0.5)
    assert np.isnan(made.kendall([1, 1, 1], [1, 2, 3]))
    assert np.isnan(made.partial([1, 2, 3], [1, 3, 2], [1, 2, 3]))  # nothing is left to explain
    assert made.regret([3, 2, 1], [0.5, 0.7, 0.9], 1) == pytest.approx(0.4)
    assert made.regret([3, 2, 1], [0.5, 0.7, 0.9], 3) == 0
    assert made.mean_cost([{"cpu_seconds": 2}, {"failed": "diverged"}, {"cpu_seconds": 4}]) == 3


def test_a_resamples_figures_are_those_of_its_networks_repeated():
    from scipy import stats

    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 6, (2, 12))  # with ties
    times = rng.multinomial(12, np.full(12, 1 / 12), 5).astype(float)
    taus, rhos = made.kendall(left, right, times), made.spearman(left, right, times)
    for drawn, tau, rho in zip(times, taus, rhos, strict=True):
        two = [np.repeat(values, drawn.astype(int)) for values in (left, right)]
        assert tau == pytest.approx(stats.kendalltau(*two).statistic)
        assert rho == pytest.approx(stats.spearmanr(*two).statistic)


def test_intervals_over_networks():
    found = made.interval(lambda times: times @ np.arange(101) / times.sum(-1), 101)
    assert found.value == 50
    # a mean of 101 has a standard error of 29.15 / sqrt(101) = 2.90: 1.96 of them on either side
    assert (found.low, found.high) == (pytest.approx(44.3, abs=0.5), pytest.approx(55.7, abs=0.5))
    # a network that is not drawn leaves no figure: of two, in a quarter of the resamples
    some = made.interval(lambda times: made.over(times[..., 0], times[..., 0]), 2)
    assert some.undefined == pytest.approx(500, abs=80)
    assert f"{some:.1f}" == f"1.0 [1.0, 1.0], {some.undefined} of 2000 resamples undefined"


def lines(folder, name, *rows):
    with (folder / f"{name}.jsonl").open("a") as file:
        file.writelines(json.dumps({"processor": "one", **row}) + "\n" for row in rows)


def experiment(folder, seeds, shared, failing=()):
    """Rows of an experiment: accuracies of the fresh networks with seeds 0 and 1, and with the supernet's weights."""
    for which, count in (("tuned", 12), ("fresh", 36)):
        for number in range(count):
            row = {"set": which, "number": number}
            for seed in report.SEEDS:
                accuracy = seeds[seed][number] if which == "fresh" else number / 100
                fails = (which, number, seed) in failing
                found = {"failed": "diverged"} if fails else {"accuracy": accuracy, "cpu_seconds": 100}
                lines(folder, "alone", row | {"epochs": 8, "seed": seed} | found)
            inherited = shared[number] if which == "fresh" else (12 - number) / 100  # the tuned ones reversed
            lines(folder, "shared", row | {"variant": "base", "accuracy": inherited, "cpu_seconds": 1})
            lines(folder, "alone", row | {"epochs": 2, "seed": 2, "accuracy": (number * 7 % 36) / 100})
    scores = {"smallest": 0.1, "accuracy": 0.2, "largest": 0.3}
    lines(folder, "supernets", {"variant": "base", **scores, "cpu_seconds": 3600})


def told(folder, capsys):
    """The report, and of each of its tables the cells by judge and head."""
    report.report(folder, "base")
    text, tables = capsys.readouterr().out, []
    for part in text.split("\nsecond round")[0].split("networks\n\n")[1:]:
        found = [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line[:1] == "|"]
        tables.append({row[0]: dict(zip(found[0], row, strict=True)) for row in found[2:]})
    return text, tables


ORDER = [number / 100 for number in range(36)]


def test_a_report_recomputes_all_from_the_rows(tmp_path, capsys):
    experiment(tmp_path, (ORDER, ORDER), ORDER)
    dear = {
        "processor": "another",
        "set": "tuned",
        "number": 0,
        "cpu_seconds": 1e6,
    }  # no cost is of two machines
    lines(tmp_path, "alone", dear | {"epochs": 8, "seed": 0, "accuracy": 0.0})
    lines(tmp_path, "shared", dear | {"variant": "base", "accuracy": 0.12})
    text, tables = told(tmp_path, capsys)
    assert "| base | 0.1000 | 0.2000 | 0.3000 | -1.00 [-1.00, -1.00] | -1.00 | 60 |" in text
    assert [tables[n]["supernet (base)"]["tau"] for n in (0, 1)] == ["1.00 [1.00, 1.00]"] * 2
    assert tables[0]["supernet (base)"]["tau given multiply-adds"] == "1.00 [1.00, 1.00]"
    for figure in ("tau", "rho", "tau given multiply-adds"):
        value, low, high = map(float, re.findall(r"-?\d\.\d\d", tables[0]["2 epochs alone"][figure]))
        assert low < value < high
    costs = "alone 27.8 core-hours, by supernet 1.00 + 0.28: 22 times cheaper (96 trainings and 48 evaluations on one)"
    assert f"1,000 candidates: {costs}" in text
    for aim in ("(aim: 0.8)", "(aim over all: 0.8)"):
        assert f"the supernet's tau, of the ceiling: 1.00 [1.00, 1.00] {aim}" in text
    assert "nan" not in text


def test_costs_are_of_networks_that_have_both():
    def row(number, seconds, processor="one", **more):
        return {"set": "fresh", "number": number, "cpu_seconds": seconds, "processor": processor, **more}

    alone = [row(0, 100, epochs=8), row(1, 900, "another", epochs=8), row(1, 7, epochs=2)]
    shared = [row(0, 1, variant="base"), row(1, 9, variant="base"), row(0, 5, variant="labels")]
    found = report.costs(alone, shared, [row(None, 3600, variant="base")], "base")
    assert found == (
        "alone 27.8 core-hours, by supernet 1.00 + 0.28: 22 times cheaper (1 trainings and 1 evaluations on one)"
    )


def test_judges_are_held_against_each_seed_and_these_against_each_other(tmp_path, capsys):
    """Seed 1 has the networks 34 and 35 swapped: one pair of 630, and the supernet agrees with seed 0."""
    swapped = [*ORDER[:34], ORDER[35], ORDER[34]]
    experiment(tmp_path, (ORDER, swapped), ORDER)
    _, tables = told(tmp_path, capsys)
    seeds = [np.array(ORDER), np.array(swapped)]
    assert report.tau(np.array(ORDER), seeds) == pytest.approx((1 - 2 / 630 + 1) / 2)
    assert report.of_ceiling(np.array(ORDER), seeds).value == pytest.approx((1 - 1 / 630) / (1 - 2 / 630))
    # seed 0 likes 35 best, whose accuracy with seed 1 is 0.34 of at most 0.35; the supernet loses that with one seed
    assert tables[0][report.CEILING]["regret of 1, 3, 5"] == "1.00, 0.00, 0.00"
    assert tables[0]["supernet (base)"]["regret of 1, 3, 5"] == "0.50, 0.00, 0.00"
    assert tables[0][report.CEILING]["of the ceiling"] == ""
    # by the mean 34 and 35 are equal: 629 pairs of 630, and tau-b is 629 / sqrt(629 * 630)
    assert tables[0]["supernet (base)"]["tau with the mean of both seeds"] == "1.00"


def test_the_ratio_to_the_ceiling_is_worked_out_in_each_resample():
    """Where the judge is seed 0 itself, tau / ceiling is (1 + c) / 2c, as the interval of c alone would give it."""
    first = np.arange(36.0)
    second = first + np.random.default_rng(1).normal(0, 12, 36)
    ceiling = made.interval(lambda times: made.kendall(first, second, times), 36)
    found = report.of_ceiling(first, [first, second])
    expected = [(1 + c) / (2 * c) for c in (ceiling.value, ceiling.high, ceiling.low)]
    assert found[:3] == pytest.approx(expected, rel=1e-3)
    assert found.low < found.value < found.high


def test_networks_that_fail_are_left_out_and_named(tmp_path, capsys):
    worse = [*ORDER[:5], 0.9, *ORDER[6:]]  # network 5, which fails, would spoil the supernet's ranking
    experiment(tmp_path, (ORDER, ORDER), worse, failing={("fresh", 5, 1), ("fresh", 30, 0), ("tuned", 3, 0)})
    lines(tmp_path, "supernets", {"variant": "labels", "failed": "diverged"})
    text, tables = told(tmp_path, capsys)
    for name, out in (("tuned", "3"), ("fresh", "5, 30")):
        assert f"{name} networks left out, since their training alone failed: {out}\n" in text
    for part in (
        "all, 34 networks",
        "one cost, 23",
        "| 0.3000 | -1.00 [-1.00, -1.00] | -1.00 | 60 |",
        "| labels | failed: d",
    ):
        assert part in text
    assert tables[0]["supernet (base)"]["tau"] == "1.00 [1.00, 1.00]"


def test_a_short_training_that_fails_counts_as_the_worst_and_a_missing_one_is_missing(tmp_path, capsys):
    experiment(tmp_path, (ORDER, ORDER), ORDER)
    path = tmp_path / "alone.jsonl"
    path.write_text(path.read_text().replace('"set": "fresh", "number": 20, "epochs": 2', ""))  # no row
    assert "the fresh networks do not have all their rows yet" in told(tmp_path, capsys)[0]
    lines(tmp_path, "alone", {"set": "fresh", "number": 20, "epochs": 2, "seed": 2, "failed": "diverged"})
    assert "all, 36 networks" in told(tmp_path, capsys)[0]
    assert report.column("fresh", report.rows("alone", tmp_path), epochs=2)[20] == 0


def test_a_step_goes_on_where_it_was_interrupted_and_no_further(tmp_path, monkeypatch):
    judge = SimpleNamespace(evaluate=lambda arch: SimpleNamespace(accuracy=0.5))
    monkeypatch.setattr(made, "OUT", tmp_path)
    monkeypatch.setattr("nas.evaluators.supernet.SupernetEvaluator", lambda net, data: judge)
    monkeypatch.setattr("nas.supernet.module.Supernet", lambda *_: SimpleNamespace(load_state_dict=id))
    monkeypatch.setattr("nas.weights.read_tensors", lambda path: ({}, {}))
    monkeypatch.setattr(judging, "data_of", lambda path: None)
    there = [{"set": "tuned", "number": n, "variant": "base", "accuracy": 0.4} for n in (0, 1, 2, 4)]
    lines(tmp_path, "shared", *there, {"set": "tuned", "number": 3, "variant": "labels", "accuracy": 0.4})
    with (tmp_path / "shared.jsonl").open("a") as file:
        file.write('{"set": "tuned", "numb')  # killed while it wrote
    ranking.shared("x.npz", tmp_path, "base", fresh=False)
    found = [row for row in made.rows("shared") if row["variant"] == "base"]
    assert [row["number"] for row in found] == [0, 1, 2, 4, 3, *range(5, 12)]
    assert [row["accuracy"] for row in found] == [0.4] * 4 + [0.5] * 8
    assert {"processor", "threads", "versions", "date"} < set(found[-1])
    with pytest.raises(SystemExit, match="tuned networks have their rows of base"):
        ranking.shared("x.npz", tmp_path, "base", fresh=False)
    lines(tmp_path, "supernets", {"variant": "base", "failed": "diverged"})
    with pytest.raises(SystemExit, match="the supernet of base has its row"):
        ranking.supernet("x.npz", tmp_path, "base")


def test_a_second_round_is_told_of_all_networks_beside_the_first(tmp_path, monkeypatch, capsys):
    experiment(tmp_path, (ORDER, ORDER), ORDER)
    assert "second round" not in told(tmp_path, capsys)[0]
    scores = {"smallest": 0.1, "accuracy": 0.25, "largest": 0.3}
    lines(tmp_path, "supernets", {"variant": "six-fair", **scores, "cpu_seconds": 1200})
    truth = {"tuned": [n / 100 for n in range(12)], "fresh": ORDER}
    evaluated = iter([*truth["tuned"], *truth["fresh"]])
    judge = SimpleNamespace(evaluate=lambda arch: SimpleNamespace(accuracy=next(evaluated)))
    space = SimpleNamespace(decode=lambda sample: sample)
    monkeypatch.setattr(made, "OUT", tmp_path)
    monkeypatch.setattr(judging, "judge_of", lambda *_: (judge, space))
    judging.known("x.npz", tmp_path, "six-fair")
    judging.known("x.npz", tmp_path, "six-fair")  # all have their rows
    text, _ = told(tmp_path, capsys)
    assert "| six-fair | 0.2500 | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | 20 |" in text
    # of the first round's the 12 are reversed: 66 + 12 * 36 pairs of the 12 are not all as the truth has them
    (first,) = [line for line in text.split("second round")[1].splitlines() if line.startswith("| base |")]
    pairs = [
        (a, b)
        for a, b in zip([*truth["tuned"], *ORDER], [(12 - n) / 100 for n in range(12)] + ORDER, strict=True)
    ]
    from scipy import stats

    assert f"| base | 0.2000 | {stats.kendalltau(*zip(*pairs, strict=True)).statistic:.2f} [" in first
    assert first.endswith("| 1.00 [1.00, 1.00] | 60 |")


def test_strangers_are_the_smallest_network_with_each_other_op(tmp_path, monkeypatch, capsys):
    import nas

    space = nas.SearchSpace.load("cifar")
    seen, worth = [], {"dsconv": 0.5, "conv": 0.4, "mbconv": 0.45}

    def evaluate(arch):
        ops = [stage.op for stage in arch.stages]
        seen.append((arch.macs, ops))
        return SimpleNamespace(accuracy=min(worth[op] for op in ops))

    monkeypatch.setattr(made, "OUT", tmp_path)
    monkeypatch.setattr(judging, "judge_of", lambda *_: (SimpleNamespace(evaluate=evaluate), space))
    ranking.ops("x.npz", tmp_path, "base")
    assert len(seen) == 12
    assert all(ops.count("dsconv") >= 3 for _, ops in seen)
    assert min(macs for macs, _ in seen) == space.costs.macs_range()[0]
    with pytest.raises(SystemExit, match="the ops of base have their rows"):
        ranking.ops("x.npz", tmp_path, "base")
    report.strangers(made.rows("ops"))
    line = "base: the smallest network with one other op, in one stage: -10.0 to -5.0 points, mean -7.5"
    assert capsys.readouterr().out.strip() == line


def test_the_section_of_the_supernets_ranking_is_that_of_its_rows(capsys):
    ranking.report(made.OUT, ranking.CHOSEN)
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text()
    printed = capsys.readouterr().out.strip()
    assert printed.count("\n| ") > 5
    assert printed in page


def test_what_inherited_weights_are_worth_is_that_of_its_rows():
    tuning = module("fine_tuning")
    found = tuning.rows()
    assert len(found) == tuning.NETWORKS * len(tuning.SEEDS) * len(tuning.EPOCHS) * len(tuning.WAYS)
    assert tuning.report(found) in (BENCHMARKS.parent / "docs" / "supernet.md").read_text()


def test_cpu_seconds_go_on_from_the_checkpoint(tmp_path, monkeypatch):
    cpu, now, path = module("supernet_cpu"), [1000.0], tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(cpu.time, "process_time", lambda: now[0])

    def process(*steps):
        """CPU seconds of each step of a process, and whether a checkpoint follows it; how many it ends with."""
        found = cpu.Cpu(SimpleNamespace(path=path))
        found.begin(None)
        for seconds, saves in steps:
            now[0] += seconds
            if saves:
                path.touch()
                os.utime(path, (now[0], now[0]))
            found.step(None, 1, 0.1)
        return found.seconds

    (tmp_path / "cpu.json").write_text('{"cpu_seconds": 77}')  # of a training that left no checkpoint
    assert process((3, True), (4, False)) == 7  # 4 are lost, and done again
    assert process((4, True), (2, True)) == 9
    assert process((5, False)) == 14
    assert process() == 9


def test_a_training_that_was_interrupted_has_the_cpu_seconds_of_all_processes(tmp_path, monkeypatch):
    import nas
    from nas.checkpoints import Checkpoints
    from nas.data import load_data

    monkeypatch.setattr(ranking, "data_of", lambda path: load_data("digits").with_part(0.05))
    monkeypatch.setattr(ranking, "SPACE", "digits")
    sample = {name: values[0] for name, values in nas.SearchSpace.load("digits").choices.items()}

    def interrupted(self, state, steps, lr):
        self._steps = 1
        self.save(state)
        if state.epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(Checkpoints, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ranking.trained(sample, "", 2, 0, tmp_path)
    path = tmp_path / "cpu.json"
    assert 0 < json.loads(path.read_text())["cpu_seconds"] < 100
    path.write_text('{"cpu_seconds": 1000}')
    assert 1000 < ranking.trained(sample, "", 2, 0, tmp_path)["cpu_seconds"] < 1100
