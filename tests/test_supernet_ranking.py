"""The ranking experiment draws its networks once, shows fresh ones to one variant, and reports what its rows say."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def module(name):
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)


ranking, report, made = map(module, ("supernet_ranking", "supernet_report", "supernet_rows"))


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
    assert made.regret([3, 2, 1], [0.5, 0.7, 0.9], 1) == pytest.approx(0.4)
    assert made.regret([3, 2, 1], [0.5, 0.7, 0.9], 3) == 0
    value, low, high = made.interval(lambda i: float(np.mean(i)), 101)
    assert value == 50
    assert low < 50 < high < 60
    assert made.mean_cost([{"cpu_seconds": 2}, {"cpu_seconds": None}, {"cpu_seconds": 4}]) == 3


def test_a_report_recomputes_all_from_the_rows(tmp_path, capsys):
    def line(name, **row):
        with (tmp_path / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    for which, count in (("tuned", 12), ("fresh", 36)):
        for number in range(count):
            for seed in report.SEEDS:
                line(
                    "alone",
                    set=which,
                    number=number,
                    epochs=8,
                    seed=seed,
                    accuracy=number / 100,
                    cpu_seconds=100,
                )
            shared = (
                number if which == "fresh" else 12 - number
            )  # the fresh ones in order, the others reversed
            line("shared", set=which, number=number, variant="base", accuracy=shared / 100, cpu_seconds=1)
            if which == "fresh":
                line("alone", set=which, number=number, epochs=2, seed=2, accuracy=(number * 7 % 36) / 100)
    line("supernets", variant="base", smallest=0.1, accuracy=0.2, largest=0.3, cpu_seconds=3600)
    report.report(tmp_path, "base")
    out = capsys.readouterr().out
    assert "| base | 0.1000 | 0.2000 | 0.3000 | -1.00 | 60 |" in out
    assert out.count("| supernet (base) | 1.00 [1.00, 1.00] | 1.00 |") == 2
    assert "1,000 candidates: alone 27.8 core-hours, by supernet 1.00 + 0.28: 22 times cheaper" in out
    assert "| supernet (base) | 1.00 [1.00, 1.00] | 1.00 | 1.00 |  | 0.00, 0.00, 0.00 |" in out
