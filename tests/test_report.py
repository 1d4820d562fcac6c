"""What the commands print: figures of the facts, and every row adds up."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import nas
from nas import Architecture, Head, NasError, SearchSpace, Stage, Stem, catalog
from nas.documents import CertificateLine, Facts
from nas.report import (
    baseline_report,
    family_of,
    family_report,
    numbers,
    save_family,
    space_json,
    space_report,
)
from nas.tables import cells, expand_of, short, stage_json, stage_markdown, stage_rows

TINY = {
    "name": "tiny", "resolution": 8, "target": 60_000, "source": "see [/1] and [red]",
    "stem": {"channels": 8, "stride": 1}, "head": {"channels": 16, "classes": 2},
    "stages": [
        {"op": ["conv", "dsconv"], "kernel": [3, 5], "skip": ["none", "identity"], "channels": [8, 16],
         "layers": [1, 2]},
        {"op": "mbconv", "kernel": 3, "expand": [3, 6], "se": [0, 0.25], "channels": 16, "stride": 2},
    ],
    "added": {"stage1.kernel": [5]},
}  # fmt: skip


@pytest.fixture(scope="module")
def b0() -> nas.Baseline:
    return nas.load("efficientnet-b0")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# Counts


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (999_400, "999k"), (999_600, "1M"),
        (385_814_752, "386M"), (999_600_000, "1G"), (37_745_884_192, "37.7G"), (12_345_678_901_234, "12,346G"),
    ],
)  # fmt: skip
def test_three_digits_are_enough(number, text):
    assert short(number) == text


# The stage table


@pytest.mark.parametrize("name", catalog.names("baselines"))
def test_rows_and_json_add_up(name):
    arch = nas.load(name).architecture
    rows, document = stage_rows(arch), stage_json(name, arch)
    parts = [document["stem"], *document["stages"], document["head"]]
    for key in ("params", "macs"):
        total = getattr(arch, key)
        assert (
            sum(getattr(row, key) for row in rows)
            == sum(part[key] for part in parts)
            == total
            == document[key]
        )
    assert [row.part for row in rows] == ["stem", *map(str, range(1, len(arch.stages) + 1)), "head"]


def test_b0s_first_stage_by_hand(b0):
    """32 x 112 x 112 in: depthwise 3 x 3, SE 32 -> 8 -> 32 on one pixel, pointwise to 16."""
    pixels = 112 * 112
    row = stage_rows(b0.architecture)[1]
    assert row.macs == 9 * 32 * pixels + (32 * 8 + 8 * 32) + 32 * 16 * pixels
    assert row.params == (9 * 32 + 64) + (32 * 8 + 8 + 8 * 32 + 32) + (32 * 16 + 32)
    assert cells(row) == [
        "1", "dsconv 3x3", "0.25", "identity", "1", "112", "16", "1", "1.45k", "10M",
    ]  # fmt: skip


def test_b0s_table_is_the_papers(b0):
    """EfficientNet (arXiv:1905.11946), Table 1: operator, input size, channels, layers."""
    assert [(row.op, row.size, row.channels, row.layers) for row in stage_rows(b0.architecture)] == [
        ("conv 3x3", 224, 32, 1), ("dsconv 3x3", 112, 16, 1), ("mbconv6 3x3", 112, 24, 2), ("mbconv6 5x5", 56, 40, 2),
        ("mbconv6 3x3", 28, 80, 3), ("mbconv6 5x5", 14, 112, 3), ("mbconv6 5x5", 14, 192, 4),
        ("mbconv6 3x3", 7, 320, 1), ("conv 1x1 to 1280, pool, linear", 7, 1000, 1),
    ]  # fmt: skip


def test_what_is_out_of_the_ordinary_is_noted():
    stages = (
        Stage("dsconv", 3, 8, pointwise_activation=True),
        Stage("mbconv", 3, 8, expand=1, always_expand=True, skip="pool"),
        Stage("conv", 5, 8, expand=6),
    )
    rows = stage_rows(Architecture(Stem(8), stages, Head(None, 10), "relu", 32))
    assert [row.op for row in rows[1:]] == [
        "dsconv 3x3, pointwise activation", "mbconv1 3x3, always expands", "conv 5x5", "pool, linear",
    ]  # fmt: skip
    assert [row.skip for row in rows[1:]] == ["", "pool", "", ""]
    assert [expand_of(stage.op, stage.expand) for stage in stages] == [1, 1, 1]


def test_the_markdown_table_has_every_row_and_the_totals(b0):
    lines = stage_markdown(b0.architecture).splitlines()
    assert len({line.count("|") for line in lines[:11]}) == 1
    assert lines[-1] == "5,288,548 parameters, 385,814,752 multiply-adds"


def test_a_baselines_report_says_what_is_known(b0, console):
    facts = Facts(
        params=1, macs=1, search_accuracy=0.91, reward=0.93, accuracy=0.97, data="digits", recipe="60 epochs"
    )
    found = nas.Baseline("found", b0.architecture, source="see [/1] and [red]", facts=facts)
    baseline_report(console, found)
    text = printed(console)
    assert "found  see [/1] and [red]" in text
    assert (
        "5,288,548 parameters, 385,814,752 multiply-adds at 224 px (3 channels, 1000 classes, swish)" in text
    )
    assert "search: accuracy 0.9100 on held-out training images, reward 0.9300" in text
    assert "test accuracy 0.9700 on digits (60 epochs)" in text


def test_what_is_not_known_of_an_accuracy_is_left_out(b0, console):
    facts = Facts(params=1, macs=1, search_accuracy=0.91, accuracy=0.97)
    baseline_report(console, replace(b0, facts=facts))
    lines = printed(console).splitlines()
    assert lines[-2:] == ["search: accuracy 0.9100 on held-out training images", "test accuracy 0.9700"]


def test_a_certificate_is_shown_with_its_verdicts(b0, console):
    row = {"macs": 1, "params": 1, "n": 3, "accuracy": 0.9}
    line = CertificateLine.model_validate({
        "data": "digits", "recipe": "cifar", "images": 359, "accuracy": 0.91, "sd": 0.01, "n": 3, "level": 0.95,
        "finalists": 4, "random_networks": 20, "choosing_seeds": [1, 2, 3], "judging_seeds": [4, 5, 6],
        "date": "2026-11-25", "table": [
            {**row, "rival": "runner-up", "margin": 0.01, "low": -0.01, "high": 0.03, "verdict": "not distinguishable"},
            {**row, "rival": "random search", "verdict": "the same network"},
        ],
    })  # fmt: skip
    baseline_report(console, replace(b0, facts=Facts(params=1, macs=1), certificate=line))
    lines = printed(console).splitlines()
    assert lines[-3:] == [
        "certificate of 2026-11-25, digits, 0.9100 in the mean of 3 seeds; the winner against each rival:",
        "  runner-up: not distinguishable, +1.00 points (-1.00 to +3.00)",
        "  random search: the same network",
    ]


def test_without_facts_no_accuracy_is_claimed(b0, console):
    baseline_report(console, nas.Baseline("bare", b0.architecture, facts=Facts(params=1, macs=1)))
    baseline_report(console, nas.Baseline("bare", b0.architecture))
    assert "accuracy" not in printed(console)


# Spaces


def test_space_json_has_the_public_keys():
    """8 to 16 channels in one layer, the skip changes nothing: (16 + 12) x 4 networks of 32 x 4 samples."""
    document = space_json(SearchSpace.from_data(TINY))
    assert document == {
        "name": "tiny",
        "size": 112,
        "size_raw": 128,
        "target": 60_000,
        "choices": {
            "stage1.op": ["conv", "dsconv"], "stage1.kernel": [3, 5], "stage1.skip": ["none", "identity"],
            "stage1.channels": [8, 16], "stage1.layers": [1, 2], "stage2.expand": [3, 6], "stage2.se": [0, 0.25],
        },
    }  # fmt: skip


def test_samples_repeat_with_their_seed():
    space = SearchSpace.from_data(TINY)
    first, again, other = (space_json(space, 5, seed)["samples"] for seed in (3, 3, 4))
    assert first == again != other
    for entry in first:
        arch = space.decode(entry["sample"])
        assert (entry["macs"], entry["params"]) == (arch.macs, arch.params)


def test_a_spaces_report_can_be_read(console):
    space = SearchSpace.from_data(TINY)
    space_report(console, space, samples=2, seed=0)
    text = printed(console)
    assert "tiny  see [/1] and [red]" in text
    assert "112 distinct architectures (128 combinations of 7 choices) at 8 px, 2 classes" in text
    assert re.search(r"1 +conv dsconv +3 5\+ +None +0 +none identity +8 16 +1 2 +1", text)
    assert "+ added to the source's text; see the document" in text
    assert "target of the reward (T): 60k" in text
    macs = [space.decode(space.sample(np.random.default_rng(seed))).macs for seed in range(400)]
    assert f"multiply-adds: {short(min(macs))} to {short(max(macs))};  5 %: " in text
    assert text.count("'stage1.op'") == 2


# Families


def test_numbers_are_read_in_order():
    assert numbers("0,1,2.5,-1, 3", "--phi") == [0, 1, 2.5, -1, 3]


@pytest.mark.parametrize(("text", "word"), [("x", "'x'"), ("1,,2", "''"), ("", "''"), ("1;2", "'1;2'")])
def test_what_is_no_number_is_named(text, word):
    with pytest.raises(
        NasError, match=rf"^--phi is '{text}'; give numbers such as 0,1,2 \({word} is none\)$"
    ):
        numbers(text, "--phi")


def test_the_formula_is_the_papers(b0):
    """By the formula B1 ... B7 cost these (at 1.2, 1.1, 1.15; worked out apart from this code)."""
    members = family_of(b0, "1,2,3,4,5,6,7", False, None, None, None, None, None, None)
    billions = [member.architecture.macs / 1e9 for member in members]
    assert billions == pytest.approx([0.993, 1.81, 3.25, 6.32, 11.4, 20.1, 39.7], rel=0.004)
    assert members[0].architecture.resolution == round(224 * 1.15) == 258
    assert members[0].dropout == pytest.approx(0.2 + 0.3 / 7)


def test_without_phi_a_few_members_or_the_whole_table(b0):
    assert [m.phi for m in family_of(b0, None, False, None, None, None, None, None, None)] == [0, 1, 2, 3]
    assert [m.phi for m in family_of(b0, None, True, None, None, None, None, None, None)] == list(range(8))


def test_a_dimension_alone(b0):
    (wide,) = family_of(b0, None, False, None, None, None, 2.0, None, None)
    (deep,) = family_of(b0, None, False, None, None, None, None, 2.0, None)
    (large,) = family_of(b0, None, False, None, None, None, None, None, 448)
    (both,) = family_of(b0, None, False, None, None, None, 2.0, 2.0, None)
    base = b0.architecture
    assert [m.target_macs / base.macs for m in (wide, deep, large, both)] == [4, 2, 4, 8]
    assert [s.channels for s in wide.architecture.stages] == [2 * s.channels for s in base.stages]
    assert [s.layers for s in deep.architecture.stages] == [2 * s.layers for s in base.stages]
    assert large.architecture.resolution == 448
    assert [m.name for m in (wide, deep, large, both)] == [
        "efficientnet-b0-w2", "efficientnet-b0-d2", "efficientnet-b0-r448", "efficientnet-b0-w2-d2",
    ]  # fmt: skip


def test_a_familys_report_shows_where_integers_break_the_promise(b0, console):
    family_report(console, b0, family_of(b0, "0,3", True, None, None, None, None, None, None))
    text = printed(console)
    # B3: 1,827,141,392 against 8 x 385,814,752
    assert re.search(r"efficientnet-b3 +3 +1.2 +1.4 +300 +0.30 +12.2M +3.09G +1.83G +-41 % +4.74", text)
    assert re.search(r"efficientnet-b0 +0 +1 +1 +224 +0.20 +5.29M +386M +386M +\+0 % +1.00", text)


def test_a_saved_family_loads(b0, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = family_of(b0, "1,2", False, None, None, None, None, None, None)
    assert save_family(b0, members, force=False) == [
        Path("efficientnet-b0-phi1.yml"),
        Path("efficientnet-b0-phi2.yml"),
    ]
    loaded = nas.load("./efficientnet-b0-phi1.yml")
    assert loaded.architecture == members[0].architecture
    assert loaded.dropout == pytest.approx(members[0].dropout, abs=1e-4)
    assert loaded.source == "efficientnet-b0 scaled: width 1.1, depth 1.2, 258 px"
    with pytest.raises(NasError, match=r"^efficientnet-b0-phi1\.yml exists"):
        save_family(b0, members, force=False)
    (tmp_path / "baselines").mkdir()
    save_family(b0, members, force=False)
    assert nas.load("efficientnet-b0-phi2").architecture == members[1].architecture
