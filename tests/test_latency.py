"""Latency models: parts, tables, the fit, what is held out, and the command; no test is timed."""

import importlib
import json
import math
import re
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import nas
from nas import NasError, SearchSpace, block_timing, latency_job, space_timing
from nas.architecture import Architecture, Head, Stage, Stem
from nas.block_timing import stretches, time_together
from nas.cli import app
from nas.latency import Latency
from nas.latency_fit import Timed, correct, errors, features, judge, regress, shrunk, tabulate
from nas.latency_job import Request, is_space, run_latency
from nas.latency_making import FEWEST, fit
from nas.latency_model import LatencyModel, PartRow, parts, parts_of_space
from nas.latency_table import LatencyTable
from nas.space_timing import HANDFUL, LOUD, Judged, Visit, settled, visit

ROOT = Path(__file__).parents[1]
TINY = {
    "name": "tiny", "resolution": 8, "stem": {"channels": 8, "stride": 1, "in_chans": 1},
    "stages": [
        {"op": ["conv", "dsconv"], "kernel": [3, 5], "skip": ["none", "identity"], "channels": [8, 16],
         "layers": [1, 2], "stride": 1},
        {"op": "mbconv", "kernel": 3, "expand": [3, 6], "se": [0, 0.25], "channels": [16, 24], "stride": 2},
    ],
    "head": {"channels": 16, "classes": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny():
    return SearchSpace.from_data(TINY)


@pytest.fixture
def tiny_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(TINY))
    return "./tiny.yml"


def every_sample(space):
    return [dict(zip(space.choices, values, strict=True)) for values in product(*space.choices.values())]


# Parts and tables


def test_parts_are_named_by_what_they_compute_and_where():
    stage = Stage("mbconv", 3, channels=16, layers=2, stride=2, expand=3, se=0.25, skip="identity")
    arch = Architecture(Stem(8, 1, 1), (stage,), Head(32, 2), "relu", resolution=9)
    # 9 px into the stage and, at stride 2, 5 px after it; SE squeezes to a quarter of the block's input channels
    assert [part.name for part in parts(arch)] == [
        "stem", "9:8 1x24a+3x24ad+se2+1x16~none/2", "5:16 1x48a+3x48ad+se4+1x16~identity/1", "tail 16",
    ]  # fmt: skip


def test_the_parts_of_a_space_are_those_of_its_networks(tiny):
    found = {part.name: part for sample in every_sample(tiny) for part in parts(tiny.decode(sample))}
    assert parts_of_space(tiny) == found


def test_a_space_with_too_many_parts_is_refused(tiny, monkeypatch):
    monkeypatch.setattr("nas.latency_model.MOST_PARTS", 10)
    with pytest.raises(NasError, match=r"^tiny: has over 10 distinct blocks"):
        parts_of_space(tiny)


def test_a_table_agrees_with_the_sum_over_parts(tiny, latency_model):
    rng = np.random.default_rng(0)
    model = latency_model(tiny, lambda part: rng.uniform(0.1, 1), offset=0.25, slope=1.5)
    samples = every_sample(tiny)
    by_hand = [
        0.25 + 1.5 * sum(model.parts[part.name].ms for part in parts(tiny.decode(sample)))
        for sample in samples
    ]
    rows = tiny.costs.indices(samples)
    assert LatencyTable(tiny, model)(rows) == pytest.approx(by_hand)
    assert [model.milliseconds(tiny.decode(sample)) for sample in samples] == pytest.approx(by_hand)


def test_other_classes_and_channels_change_no_name(tiny, latency_model):
    model, arch = latency_model(tiny), tiny.decode(every_sample(tiny)[0])
    assert model.milliseconds(arch.with_data(100, 3)) == model.milliseconds(arch)


def test_a_network_of_another_space_is_one_sentence(tiny, latency_model):
    with pytest.raises(
        NasError, match=r"^the latency model of tiny has no part '.*'; make|so the network is not"
    ):
        latency_model(tiny).milliseconds(nas.load("mobilenet-v2").architecture)


def test_a_model_reads_back(tiny, latency_model, tmp_path):
    model = latency_model(tiny)
    path = tmp_path / "m.json"
    path.write_text(model.dump())
    assert LatencyModel.load(path) == model
    assert LatencyModel.load(path).sha256 == model.sha256


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: [], r"m\.json: is \[\], no latency model; make it anew with nas latency SPACE$"),
        (lambda data: {"name": "tiny"}, r"no latency model"),
        (lambda data: data | {"slope": 0}, r"m\.json: slope is 0; give a number greater than 0$"),
        (lambda data: data | {"device": "tpu"}, r"device is 'tpu'; give 'cpu' or 'cuda'"),
        (lambda data: data | {"threds": 1}, r"unknown key 'threds' \(did you mean 'threads'\?\)"),
        (
            lambda data: data | {"parts": {"stem": [1, 1], "tail 16": [-1, 1]}},
            r"parts\.tail 16\[0\] is -1; give a number greater than 0",
        ),
        (lambda data: {k: v for k, v in data.items() if k != "parts"}, r"'parts' is missing"),
    ],
)
def test_a_file_that_is_no_model_is_one_sentence(tiny, latency_model, tmp_path, change, sentence):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(change(json.loads(latency_model(tiny).dump()))))
    with pytest.raises(NasError, match=sentence):
        LatencyModel.load(path)


# The fit


def test_features_are_counted_by_hand():
    stage = Stage("dsconv", 3, channels=16, stride=2, se=0.5)
    (_, part, _) = parts(Architecture(Stem(8, 1, 1), (stage,), Head(None, 2), "relu", resolution=8))
    million = {name: round(1e6 * value) for name, value in features(part).items() if "count" not in name}
    assert million == {
        "depthwise 3/2 macs": 8 * 9 * 16, "depthwise 3/2 moved": 8 * 64 + 8 * 16,
        "norm moved": 8 * 16 + 16 * 16, "activation moved": 8 * 16,
        "se macs": 2 * 8 * 4, "se moved": 8 * 16,
        "pointwise macs": 8 * 16 * 16, "pointwise moved": 8 * 16 + 16 * 16, "pointwise weights": 8 * 16,
    }  # fmt: skip
    assert features(part)["norm count"] == 2


def test_the_regression_finds_an_additive_law_and_predicts_what_was_not_measured():
    space = SearchSpace.load("cifar")
    every = parts_of_space(space)

    def law(part):  # a constant a layer, multiply-adds of regular convolutions, values that norms move
        found = features(part)
        counts = sum(value for name, value in found.items() if name.endswith("count"))
        return (
            0.02 * counts
            + 0.3 * found.get("conv 3 macs", 0)
            + 0.5 * found.get("conv 5 macs", 0)
            + found.get("norm moved", 0)
        )

    rng = np.random.default_rng(0)
    names = [str(name) for name in rng.permutation(list(every))[:300]]
    found = regress(every, names, np.array([law(every[name]) for name in names]))
    off = [abs(found[name] / law(part) - 1) for name, part in every.items() if name not in names]
    assert len(off) > 300
    assert np.percentile(off, 90) < 0.02


def test_a_mean_is_shrunk_by_its_noise():
    logs = np.log([2.0, 2.0, 2.0])
    assert shrunk(logs, noise=1.0, spread=1.0) == pytest.approx(0.75 * np.log(2))  # 3 / (3 + 1)
    assert shrunk(logs, noise=1e-9, spread=1.0) == pytest.approx(np.log(2))


def test_the_correction_is_a_line():
    table = {"a": PartRow(1.0, 1), "b": PartRow(3.0, 1)}
    made = [
        Timed(("a",) * n + ("b",) * m, np.zeros(n + m), 0.5 + 1.25 * (n + 3 * m))
        for n in (1, 2)
        for m in (0, 2)
    ]
    assert correct(table, made) == pytest.approx((0.5, 1.25))


def test_a_line_that_few_noisy_networks_tilt_is_a_ratio():
    table = {"a": PartRow(1.0, 1)}
    made = [Timed(("a",) * n, np.zeros(n), total) for n, total in ((1, 1.1), (2, 4.4), (3, 9.9))]
    assert correct(table, made) == (0.0, pytest.approx(2.2))  # the ratios are 1.1, 2.2 and 3.3


def test_errors_are_relative():
    median, p90, rank = errors(np.array([1.1, 2.0, 2.7]), np.array([1.0, 2.0, 3.0]))
    assert (median, p90, rank) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(1.0))
    assert errors(np.ones(2), np.ones(2))[2] is None


def test_the_held_out_are_judged_and_so_is_the_machine():
    table = {"a": PartRow(2.0, 1)}
    judged = [(("a",) * n, ms) for n, ms in ((1, 4.0), (2, 8.0), (3, 10.0))]  # predicted: 1 + 2n: 3, 5, 7
    held = judge(table, (1.0, 1.0), judged, [(10.0, 11.0), (20.0, 20.0), (30.0, 27.0)])
    assert (held.n, held.median, held.spearman) == (3, pytest.approx(0.3), pytest.approx(1.0))
    assert (held.noise_n, held.noise_median, held.noise_p90) == (3, pytest.approx(0.1), pytest.approx(0.1))


def test_a_part_that_was_measured_is_believed_the_more_the_oftener():
    """Parts that take twice what their layers say: one seen in a single network, one in nine."""
    space = SearchSpace.load("cifar")
    every = parts_of_space(space)
    names = list(every)
    rng = np.random.default_rng(0)

    def law(name):
        return 0.05 * sum(value for key, value in features(every[name]).items() if key.endswith("count"))

    once, often = names[10], names[20]
    timed = [
        Timed(
            (name,),
            np.array([law(name) * float(np.exp(rng.normal(0, 0.1))) * (1 + (name in (once, often)))]),
            1.0,
        )
        for name in [*names * 4, *[often] * 5]
        if name != once
    ] + [Timed((once,), np.array([2 * law(once)]), 1.0)]
    table = tabulate(every, timed)
    assert table[often].ms / law(often) > table[once].ms / law(once) > 1
    assert (table[once].networks, table[often].networks) == (1, 9)


# Timing


@given(st.data())
@settings(max_examples=40)
def test_the_stretches_are_the_network_and_its_parts(architectures, data):
    """Of networks with every block, stem and head; a part starts where the one before it ended."""
    arch = data.draw(architectures)
    net, x = nas.build(arch).eval(), torch.randn(2, arch.stem.in_chans, arch.resolution, arch.resolution)
    with torch.inference_mode():
        found = x
        for stretch, part in zip(stretches(net), parts(arch), strict=True):
            assert found.shape[1:] == (part.channels, part.height, part.height)
            assert all(np.isfinite(value) and value >= 0 for value in features(part).values())
            found = stretch(found)
        assert torch.equal(found, net(x))


def test_networks_take_turns_beside_the_reference(tiny, monkeypatch):
    """A clock that every network moves on by its own time: stems by 1, all else by 2, the reference by 100."""
    now = [0.0]
    monkeypatch.setattr(block_timing.time, "perf_counter", lambda: now[0])
    order = []

    def network(name, ms):
        net = nas.build(tiny.decode(every_sample(tiny)[0])).eval()

        def moved(module, args, output):
            now[0] += ms / 1000

        net.stem.register_forward_hook(lambda *_: order.append(name))
        for module in (
            net.stem,
            *(block for stage in net.stages.children() for block in stage.children()),
            net.head,
        ):
            module.register_forward_hook(moved)
        return net

    nets = {name: network(name, ms) for name, ms in (("a", 1), ("b", 2), ("c", 3))}
    passes, beside = time_together(nets, {"a"}, 1, network("ref", 100), rounds=2, warm_up=1)
    assert order == ["ref", "a", "b", "ref", "c", "ref"] * 3
    assert passes["a"] == pytest.approx(np.full((2, 4), 1))
    assert passes["b"] == pytest.approx(np.full((2, 1), 8))  # stem, two blocks, head
    assert beside == pytest.approx(np.full((2, 3), 400))


class Machine:
    """Stands in for `time_together`: parts take what a law says, times what the machine's mood is in a handful."""

    def __init__(self, space, seed=0, moods=(1.0, 1.2, 0.95, 1.4, 4.0)):
        self.rng, self.moods = np.random.default_rng(seed), moods
        self.every = {name: self.law(part) for name, part in parts_of_space(space).items()}
        self.now = 0.0

    @staticmethod
    def law(part):
        found = features(part)
        return 0.02 * sum(v for name, v in found.items() if name.endswith("count")) + 0.05 * sum(
            v for name, v in found.items() if name.endswith("macs")
        )

    def total(self, arch):
        return sum(self.every[part.name] for part in parts(arch))

    def __call__(self, nets, divided, batch, reference, device):
        self.now += 1.0
        mood = float(self.rng.choice(self.moods))
        # a machine so busy that networks do not slow alike
        wild = 0.5 if mood > 2 else 0.02

        def noisy(shape):
            return mood * np.exp(self.rng.normal(0, wild, shape))

        passes = {}
        for name, net in nets.items():
            ms = np.array([self.every[part.name] for part in parts(net.architecture)])
            passes[name] = ms * noisy((6, len(ms))) if name in divided else ms.sum() * noisy((6, 1))
        return passes, self.total(reference.architecture) * noisy((6, 5))


@pytest.fixture
def machine(monkeypatch):
    def install(space):
        made = Machine(space)
        monkeypatch.setattr(space_timing, "time_together", made)
        return made

    return install


def test_no_network_that_was_held_out_is_fitted_to(tiny, machine):
    made = machine(tiny)
    visits = list(visit(tiny, seconds=20, held_out=10, seed=0, clock=lambda: made.now))
    assert len(visits) == 20 * HANDFUL
    keys = {
        held: {tiny.decode(one.sample).key for one in visits if one.held_out is held}
        for held in (True, False)
    }
    assert len(keys[True]) == 10
    assert not keys[True] & keys[False]
    counts = np.bincount([one.number for one in visits if one.held_out])
    assert counts.tolist() == [4] * 10  # 2 of each of 20 handfuls, in turn


def test_a_busy_machine_is_told_from_a_slow_network():
    space = SearchSpace.load("digits")
    first, second = (space.sample(np.random.default_rng(seed)) for seed in (0, 1))

    def one(number, held_out, sample, total, reference):
        return Visit(number, held_out, sample, np.array([total]), total, reference)

    quiet, busy, loud = 10.0, 14.0, 10.0 * LOUD + 1
    visits = [
        one(0, True, first, 3.0, quiet), one(1, True, second, 7.0, quiet), one(0, True, first, 4.2, busy),
        one(1, True, second, 9.8, busy), one(0, True, first, 100.0, loud),
    ]  # fmt: skip
    fitted, judged = settled(space, visits)  # the lower quartile of 10, 10, 14, 14, 16 is 10
    assert fitted == []
    assert judged == [Judged(first, (3.0, pytest.approx(3.0))), Judged(second, (7.0, pytest.approx(7.0)))]
    assert judged[0].halves == (3.0, pytest.approx(3.0))


def test_a_machine_of_many_moods_is_modelled(machine):
    """What the parts truly take is known here; the machine is 4 times as slow in every fifth handful."""
    space = SearchSpace.load("cifar")
    made = machine(space)
    visits = list(visit(space, seconds=60, held_out=16, seed=0, clock=lambda: made.now))
    model = fit(space, parts_of_space(space), visits, "cpu", 1, 1, 0, 60.0)
    assert model.held_out.n == 16
    assert model.held_out.median < 0.03
    assert model.held_out.spearman is not None
    assert model.held_out.spearman > 0.95
    archs = [space.decode(space.sample(np.random.default_rng(seed))) for seed in range(100, 150)]
    ratio = np.array([model.milliseconds(arch) / made.total(arch) for arch in archs])
    assert (
        np.percentile(np.abs(ratio / np.median(ratio) - 1), 90) < 0.05
    )  # up to the quiet machine's own pace


# The command


def invoke(*words):
    result = CliRunner().invoke(app, ["latency", *words])
    if isinstance(result.exception, NasError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_baseline_is_timed_at_every_batch_size(tmp_path):
    found = json.loads(invoke("mobilenet-v1", "--batch", "1,2", "--rounds", "3", "--threads", "1", "--json"))
    assert (found["name"], found["device"], found["threads"], found["macs"]) == (
        "mobilenet-v1", "cpu", 1, nas.load("mobilenet-v1").architecture.macs,
    )  # fmt: skip
    assert [row["batch"] for row in found["latency"]] == [1, 2]
    for row in found["latency"]:
        assert row["n"] == 3
        assert 0 < row["p10"] <= row["p25"] <= row["median"] <= row["p90"]
        assert row["images_per_second"] == pytest.approx(1000 * row["batch"] / row["median"])


def test_a_model_of_a_space_is_written(tiny_file, machine, tiny, monkeypatch, tmp_path):
    made = machine(tiny)
    monkeypatch.setattr(latency_job, "_clock", lambda: made.now)
    found = json.loads(invoke(tiny_file, "--minutes", "0.5", "--threads", "1", "--json"))
    model = LatencyModel.load(tmp_path / "tiny-latency.json")
    assert (found["output"], found["parts"]) == ("tiny-latency.json", len(parts_of_space(tiny)))
    assert found["held_out"]["n"] == model.held_out.n > FEWEST
    assert (model.space_sha256, model.threads, model.batch, model.seed) == (tiny.sha256, 1, 1, 0)
    with pytest.raises(
        NasError, match=r"^tiny-latency\.json exists; choose another --output, or give --force"
    ):
        invoke(tiny_file)
    invoke(tiny_file, "--minutes", "0.5", "--threads", "1", "--output", "new/dir/x.json", "--json")
    assert LatencyModel.load(tmp_path / "new" / "dir" / "x.json").held_out.n == model.held_out.n
    text = invoke(tiny_file, "--minutes", "0.5", "--threads", "1", "--force")
    assert re.search(r"held out: \d+ whole networks; relative error [\d.]+ % \(median\)", text)
    assert "the same networks measured twice: " in text


def test_too_little_time_makes_no_model(tiny_file, machine, tiny, monkeypatch):
    made = machine(tiny)
    monkeypatch.setattr(latency_job, "_clock", lambda: made.now)
    with pytest.raises(
        NasError, match=r"^tiny: in .* networks were timed .*fewer than 8; give more --minutes$"
    ):
        invoke(tiny_file, "--minutes", "0.01")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cifr"], r"^there is no search space or baseline 'cifr' \(did you mean 'cifar'"),
        (["mobilenet-v1", "--batch", "1,x"], r"^--batch is '1,x'; give images a pass"),
        (["mobilenet-v1", "--batch", "1,8,01"], r"^--batch is '1,8,01', which has 1 twice; give each number"),
        (["cifar", "--batch", "1,1"], r"^--batch is '1,1', which has 1 twice; give each number"),
        (["mobilenet-v1", "--batch", "0"], r"^--batch is '0'; give images a pass"),
        (["cifar", "--batch", "1,8"], r"^--batch is 1,8; a latency model is of one batch size"),
        (["cifar", "--minutes", "-1"], r"^--minutes is -1; give minutes over 0"),
        (["cifar", "--minutes", "nan"], r"^--minutes is nan; give minutes over 0"),
        (["cifar", "--device", "tpu"], r"^latency: --device is 'tpu'; allowed: auto, cpu, cuda, cuda:N"),
        (
            ["cifar", "--output", "/dev/null/x.json"],
            r"^/dev/null/x\.json: cannot be written \(/dev/null is",
        ),
        (["cifar", "--output", "/dev/null", "--force"], r"^/dev/null: is no regular file"),
        (
            ["mobilenet-v1", "--minutes", "1"],
            r"^--minutes is of a search space, and mobilenet-v1 is a baseline",
        ),
        (
            ["cifar", "--rounds", "5"],
            r"^--rounds is of a baseline, and cifar is a search space; give --minutes",
        ),
        (["mobilenet-v1", "--output", "x.json"], r"^--output is of the model of a search space"),
        (
            ["mobilenet-v1", "--seed", "0"],
            r"^--seed is of a search space, and mobilenet-v1 is a baseline; leave it",
        ),
        (
            ["mobilenet-v1", "--force"],
            r"^--force is of a search space, and mobilenet-v1 is a baseline; leave it",
        ),
        (["./none.yml"], r"none\.yml: there is no such file"),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NasError, match=sentence):
        invoke(*words)
    assert not list(tmp_path.iterdir())


def test_cuda_that_is_not_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for target in ("mobilenet-v1", "cifar"):
        with pytest.raises(NasError, match=r"^latency: --device is cuda, but torch sees no CUDA device"):
            invoke(target, "--device", "cuda")


def test_a_space_too_small_to_hold_anything_out_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = TINY | {"stages": [{"op": "conv", "kernel": [3, 5], "channels": 8}]}
    (tmp_path / "small.yml").write_text(yaml.safe_dump(small))
    with pytest.raises(NasError, match=r"^tiny has 2 networks; a model of latency needs 16"):
        run_latency(nas.terminal.console(), Request("./small.yml"))


def test_a_document_with_lists_is_a_space(tiny_file, tmp_path):
    assert is_space(tiny_file)
    assert not is_space(str(nas.catalog.find("baselines", "mobilenet-v1")))
    assert is_space("cifar")
    assert not is_space("efficientnet-b0")


def test_a_name_that_is_both_is_asked_about(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "cifar.yml").write_text("name: cifar\n")
    with pytest.raises(NasError, match=r"^cifar is a search space and a baseline; give the path of one"):
        is_space("cifar")


# The benchmark


def test_the_pages_figures_are_the_rows():
    """The table of docs/latency.md is made anew from the committed rows, and its claims hold."""
    sys.path.append(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("latency_model")
    lines = benchmark.table()
    page = (ROOT / "docs" / "latency.md").read_text()
    assert "\n".join(lines) in page
    header = " ".join(str(benchmark.__doc__).split())
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert float(cells[5].removesuffix(" %")) < 10
        assert float(cells[7]) > 0.95
        assert f"{cells[5]} median, {cells[6]} p90, rank {cells[7]}" in header
        assert f"measured twice {cells[8]}; multiply-adds rank with {cells[9]}" in header


def test_memory_that_does_not_suffice_is_one_sentence(monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr("nas.latency.measure", fails)
    with pytest.raises(
        NasError, match=r"^--batch is 8, for which cpu has not memory enough; give fewer images$"
    ):
        run_latency(Console(quiet=True), Request("mnasnet-b1-0.5", batch="8"))


def test_as_many_rounds_as_asked_for_however_long_they_take(monkeypatch):
    asked = []
    monkeypatch.setattr("nas.latency.measure", lambda nets, *_, **how: asked.append(how) or {
        name: Latency(1, (1.0, 2.0)) for name in nets})  # fmt: skip
    for rounds in (None, 200):
        run_latency(Console(quiet=True), Request("mnasnet-b1-0.5", batch="1", rounds=rounds))
    assert asked == [{"device": "cpu"}, {"device": "cpu", "rounds": 200, "seconds": math.inf}]


@pytest.mark.parametrize(
    ("passes", "threads", "before", "note"),
    [
        ((10.0, 11.0, 12.0), 2, 0.2, ""),
        ((10.0, 11.0, 12.0), 1, 90.0, ""),
        ((10.0, 11.0, 12.0), 2, 90.0, "note: the load was 90.0 before, on 2 CPUs: 2 threads wait for each other"),
        ((10.0, 10.0, 40.0), 2, 0.2, "note: at batch 1 the 90 % are 3.4 times the 10 %: other programs had the "
                                     "machine busy; with --threads 1 they weigh less"),
        ((10.0, 10.0, 40.0), 1, 0.2, "machine busy; measure when it is idle"),
    ],
)  # fmt: skip
def test_a_busy_machine_is_told(monkeypatch, passes, threads, before, note):
    """By hand, of 10, 10, 40: the 90th percentile is 10 + 0.8 * 30 = 34, the 10th is 10."""
    default = torch.get_num_threads()
    monkeypatch.setattr(
        "nas.latency.measure", lambda nets, *_, **how: {name: Latency(1, passes) for name in nets}
    )
    monkeypatch.setattr("nas.latency.load_average", lambda: before)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    try:
        text = invoke("mnasnet-b1-0.5", "--batch", "1", "--threads", str(threads))
    finally:
        torch.set_num_threads(default)
    assert ("note: " in text) == bool(note)
    assert note in " ".join(text.split())
