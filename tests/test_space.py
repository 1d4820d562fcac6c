"""The contract of search spaces, which every shipped space passes, and what each document promises."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas import Architecture, NasError, SearchSpace, Stage, catalog
from nas import space as space_module
from nas.documents import HeadLine, SpaceDocument, StageLine, StemLine
from nas.ops import make_divisible

DOCUMENTS = {name: catalog.find("search_spaces", name) for name in catalog.names("search_spaces")}
DOCUMENTS["blocks"] = Path(__file__).parent / "blocks.yml"  # every op among choices
SPACES = {name: SearchSpace.load(path) for name, path in DOCUMENTS.items()}


def all_samples(space):
    for values in itertools.product(*space.choices.values()):
        yield dict(zip(space.choices, values, strict=True))


def samples(space, n, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


# The contract: a new space enters by lying in search_spaces/


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def test_samples_are_plain_data_in_the_documents_order(space):
    for sample in samples(space, 20):
        assert list(sample) == list(space.choices)
        assert all(type(value) in (int, float, str) for value in sample.values())
        assert json.loads(json.dumps(sample)) == sample
        assert space.validate(sample) == sample


def test_samples_are_reproducible_and_reach_every_value(space):
    assert samples(space, 5, seed=7) == samples(space, 5, seed=7) != samples(space, 5, seed=8)
    seen = {(label, value) for sample in samples(space, 300) for label, value in sample.items()}
    assert seen == {(label, value) for label, values in space.choices.items() for value in values}


def test_decode_writes_what_was_chosen(space):
    for sample in samples(space, 20):
        arch = space.decode(sample)
        chosen = {
            f"stage{n}.{f}": getattr(stage, f) for n, stage in enumerate(arch.stages, 1) for f in vars(stage)
        }
        assert {label: chosen[label] for label in sample} == sample
        assert (arch.resolution, arch.activation) == (space.document.resolution, space.document.activation)


def test_encode_inverts_decode_as_a_network_and_where_it_can_as_written(space):
    for sample in samples(space, 30):
        arch = space.decode(sample)
        assert space.contains(arch)
        again = space.encode(arch)
        assert space.decode(again).key == arch.key
        assert space.decode(again) == arch


def test_membership_ignores_the_data(space):
    arch = space.decode(samples(space, 1)[0])
    assert space.contains(arch.with_data(classes=7, in_chans=5))


def test_membership_is_refused_with_the_part_and_the_reason(space):
    arch = space.decode(samples(space, 1)[0])
    first = arch.stages[0]
    assert space.missing(replace(arch, resolution=arch.resolution + 1)) == {
        "resolution": f"{arch.resolution + 1} instead of {arch.resolution}"
    }
    longer = replace(arch, stages=(*arch.stages, replace(first, stride=1)))
    assert space.missing(longer) == {"stages": f"{len(arch.stages) + 1} instead of {len(arch.stages)}"}
    odd = replace(arch, stages=(replace(first, kernel=9), *arch.stages[1:]))
    allowed = list(space.stages[0].options["kernel"])
    assert space.missing(odd) == {"stage1": f"kernel 9 is not in {allowed}"}
    with pytest.raises(
        NasError, match=rf"{space.name} does not contain this network: stage1: kernel 9 is not in"
    ):
        space.encode(odd)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_mutate_changes_exactly_so_many_choices(space, count):
    rng = np.random.default_rng(0)
    sample = space.sample(rng)
    before = dict(sample)
    changed = set()
    for _ in range(100):
        child = space.mutate(sample, rng, choices=count)
        different = [label for label in sample if child[label] != sample[label]]
        assert len(different) == count
        assert space.validate(child) == child
        changed.update(different)
    assert sample == before
    assert len(changed) > count


def test_mistaken_samples_are_refused_with_what_is_allowed(space):
    sample = samples(space, 1)[0]
    label, values = next(iter(space.choices.items()))
    allowed = ", ".join(map(str, values))
    with pytest.raises(NasError, match=rf"sample: {label} is 'nonsense'; allowed: {allowed}"):
        space.decode({**sample, label: "nonsense"})
    with pytest.raises(NasError, match=rf"sample: choice '{label}' is missing; allowed: {allowed}"):
        space.decode({k: v for k, v in sample.items() if k != label})
    with pytest.raises(NasError, match=rf"sample: '{label}s' is no choice of .* \(did you mean '{label}'"):
        space.decode({**sample, f"{label}s": values[0]})


def test_what_was_decoded_before_is_still_checked(space, monkeypatch):
    monkeypatch.setattr(space_module, "KEPT", 2)
    monkeypatch.setattr(space, "_decoded", {})
    first, second, third = samples(space, 3)
    arch = space.decode(first)
    same = [space.decode(sample) == arch for sample in (first, second, third, first)]
    assert same == [True, False, False, True]
    assert len(space._decoded) <= 2
    ones = [label for label, values in space.choices.items() if 1 in values]
    for label in ones[:1]:
        space.decode({**first, label: 1})
        with pytest.raises(NasError, match=f"{label} is True"):
            space.decode({**first, label: True})
    with pytest.raises(NasError, match="is no choice of"):
        space.decode([1])


def test_numbers_that_are_equal_are_the_lists_own(space):
    """NNI's JavaScript writes 3.0 as 3."""
    sample = samples(space, 1)[0]
    foreign = {k: float(v) if isinstance(v, int) else v for k, v in sample.items()}
    assert space.validate(foreign) == sample
    assert [type(v) for v in space.validate(foreign).values()] == [type(v) for v in sample.values()]


def test_false_is_no_zero_and_numpys_three_is_a_three():
    space = SPACES["digits"]
    sample = samples(space, 1)[0]
    with pytest.raises(NasError, match=r"sample: stage1.se is False; allowed: 0, 0.25"):
        space.decode({**sample, "stage1.se": False})
    assert type(space.validate({**sample, "stage1.kernel": np.int64(3)})["stage1.kernel"]) is int


def test_sha256_is_the_same_from_yaml_and_from_the_json_that_nni_hands_on(space):
    text = DOCUMENTS[space.name].read_text()
    data = json.loads(json.dumps(yaml.safe_load(text)))
    again = SearchSpace.from_data(data)
    assert again.sha256 == space.sha256
    assert len(space.sha256) == 64
    data["stages"][0]["stride"] = 3 - data["stages"][0]["stride"]
    assert SearchSpace.from_data(data).sha256 != space.sha256


def test_costs_are_those_of_the_architectures(space):
    drawn = samples(space, 200)
    params, macs = space.costs(space.costs.indices(drawn))
    archs = [space.decode(sample) for sample in drawn]
    assert params.tolist() == [arch.params for arch in archs]
    assert macs.tolist() == [arch.macs for arch in archs]
    low, high = space.costs.macs_range()
    assert low <= macs.min() < macs.max() <= high


def test_with_data_changes_the_data_alone(space):
    other = space.with_data(classes=7, in_chans=5)
    sample = samples(space, 1)[0]
    assert other.choices == space.choices
    assert other.decode(sample) == space.decode(sample).with_data(7, 5)


def test_size_raw_is_the_product_of_the_lists(space):
    product = 1
    for line in space.document.stages:
        for value in line:
            product *= len(value[1]) if isinstance(value[1], list) else 1
    assert space.size_raw == product
    assert 1 < space.size < space.size_raw


def test_names_are_those_of_the_files():
    assert all(space.name == name for name, space in SPACES.items())
    assert {"mnasnet", "mnasnet-released", "efficientnet", "cifar", "digits"} <= set(SPACES)


# Exact against brute force, on spaces small enough to be walked


def tiny(*stages, **fields):
    data = {"name": "tiny", "resolution": 9, "stem": {"channels": 8, "stride": 1}, "head": {"channels": 16}}
    return SearchSpace.from_data({**data, "stages": list(stages), **fields})


EVERYTHING = {
    "op": ["conv", "dsconv", "mbconv"], "kernel": [1, 3], "expand": [1, 3], "se": [0, 0.05, 0.1, 0.25],
    "skip": ["none", "identity", "pool"], "channels": [8, 16], "layers": [1, 2],
}  # fmt: skip
SMALL = {"op": ["conv", "mbconv"], "kernel": [3, 5], "expand": 6, "channels": [8, 16], "layers": [1, 2]}
TINY = {
    "one stage of everything": tiny(EVERYTHING),
    "with a stride": tiny({**EVERYTHING, "stride": 2}),
    "as MobileNetV1 and FBNet": tiny({**EVERYTHING, "pointwise_activation": True, "always_expand": True}),
    "two stages": tiny({**SMALL, "skip": ["none", "pool"]}, {**SMALL, "stride": 2, "se": [0, 0.25]}),
    "three stages, one decided": tiny(SMALL, {"op": "dsconv", "kernel": 3, "channels": 8}, SMALL),
    "no open channels": tiny({**SMALL, "channels": 8}, {**SMALL, "channels": 24}),
    "no head convolution": tiny(SMALL, SMALL, head={"channels": None}),
    "no choice": tiny({"op": "conv", "kernel": 3, "channels": 8}),
}


@pytest.mark.parametrize("space", TINY.values(), ids=list(TINY))
def test_size_and_range_and_cost_are_exact(space):
    archs = [space.decode(sample) for sample in all_samples(space)]
    assert space.size_raw == len(archs)
    assert space.size == len({arch.key for arch in archs})
    macs = [arch.macs for arch in archs]
    assert space.costs.macs_range() == (min(macs), max(macs))
    params, table = space.costs(space.costs.indices(list(all_samples(space))))
    assert (params.tolist(), table.tolist()) == ([arch.params for arch in archs], macs)
    assert all(space.contains(arch) for arch in archs[:: max(1, len(archs) // 50)])


def test_size_by_hand():
    """One layer, stride 2: skip does nothing. conv: 2 kernels; mbconv: 2 kernels x 2 expansions."""
    stage = {"op": ["conv", "mbconv"], "kernel": [3, 5], "expand": [3, 6], "skip": ["none", "identity"]}
    assert tiny({**stage, "channels": 8, "stride": 2}).size_raw == 16
    assert tiny({**stage, "channels": 8, "stride": 2}).size == 2 + 4
    # Stride 1 and 8 -> 8 channels: the skip does something.
    assert tiny({**stage, "channels": 8}).size == 2 * (2 + 4)
    # 8 -> 16 channels: only the second of two layers takes it. One layer: 6, two layers: 12.
    assert tiny({**stage, "channels": 16, "layers": [1, 2]}).size == 6 + 12
    # Two such stages after each other: the second's first layer takes it after 16, not after 8.
    two = tiny({**stage, "channels": [8, 16]}, {**stage, "channels": 16})
    assert two.size == 12 * 6 + 6 * 12  # after 8: 12 x 6; after 16: 6 x 12


def test_equal_networks_are_counted_and_found_once():
    """At expansion 1 an mbconv is a dsconv; SE ratios that squeeze 8 channels to 1 are one."""
    stage = {"op": ["dsconv", "mbconv"], "kernel": 3, "expand": 1, "se": [0, 0.125, 0.2], "channels": 8}
    space = tiny(stage)
    assert (space.size_raw, space.size) == (6, 2)
    foreign = replace(space.frame, stages=(Stage("mbconv", 3, 8, expand=1, se=0.15, skip="identity"),))
    assert space.missing(foreign) == {"stage1": "se 0.15 is not in [0, 0.125, 0.2]"}  # its skip is taken
    foreign = replace(space.frame, stages=(Stage("mbconv", 3, 8, expand=1, se=0.15),))
    assert space.encode(foreign) == {"stage1.op": "mbconv", "stage1.se": 0.125}


def test_pointwise_activation_belongs_to_the_dsconvs_alone():
    space = tiny({**EVERYTHING, "pointwise_activation": True, "always_expand": True})
    for sample in all_samples(space):
        stage = space.decode(sample).stages[0]
        assert stage.pointwise_activation == (stage.op == "dsconv")
        assert stage.always_expand == (stage.op == "mbconv")


def test_a_space_of_one_network():
    space = TINY["no choice"]
    assert (space.choices, space.size, space.size_raw) == ({}, 1, 1)
    assert space.mutate({}, np.random.default_rng(0)) == {}
    assert space.target == space.frame.macs == space.decode({}).macs
    assert space.encode(space.frame) == {}


def test_costs_too_large_for_a_table_are_refused():
    wide = {"op": "conv", "kernel": 31, "channels": [65536, 65528], "layers": 1000}
    with pytest.raises(
        NasError, match=r"tiny: has networks of over .*e\+2\d multiply-adds; make them smaller"
    ):
        _ = tiny(wide, resolution=16384).costs


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_random_spaces_are_exact(data):
    """Size, range and costs of spaces drawn at random equal a walk through them."""
    values = {
        "op": ["conv", "dsconv", "mbconv"], "kernel": [1, 3, 5], "expand": [1, 2.5, 6],
        "se": [0, 0.04, 0.25], "skip": ["none", "identity", "pool"], "channels": [8, 12, 16],
        "layers": [1, 2, 3],
    }  # fmt: skip
    lists = st.fixed_dictionaries(
        {k: st.lists(st.sampled_from(v), min_size=1, max_size=2, unique=True) for k, v in values.items()}
        | {"stride": st.sampled_from([1, 2])}
    )
    space = tiny(*data.draw(st.lists(lists, min_size=1, max_size=2)))
    walk = list(all_samples(space))
    if len(walk) > 1024:
        walk = walk[:: len(walk) // 512]
    archs = [space.decode(sample) for sample in walk]
    _, macs = space.costs(space.costs.indices(walk))
    assert macs.tolist() == [arch.macs for arch in archs]
    if len(walk) == space.size_raw:
        assert space.size == len({arch.key for arch in archs})
        assert space.costs.macs_range() == (min(macs), max(macs))


# Targets


def test_the_target_is_the_documents_else_the_median():
    assert SPACES["efficientnet"].target == 400_000_000
    assert SPACES["mnasnet"].target == 358_000_000
    for name in ("cifar", "digits"):
        space = SPACES[name]
        macs = sorted(space.decode(sample).macs for sample in samples(space, 2001, seed=1))
        assert space.document.target is None
        # The median of 4,096 uniform samples lies between the 45th and the 55th percentile of others.
        assert macs[900] < space.target < macs[1100]
    # Of two networks, the median is halfway.
    two = tiny({"op": "conv", "kernel": 1, "channels": [8, 16]})
    small, large = (two.decode({"stage1.channels": c}).macs for c in (8, 16))
    assert small <= two.target <= large


def test_mnasnets_targets_are_their_medians():
    """358M and 366M: the medians of uniform samples, as the documents say."""
    for name in ("mnasnet", "mnasnet-released"):
        _, macs = SPACES[name].costs.of_random(200_000, seed=3)
        assert abs(np.median(macs) / SPACES[name].target - 1) < 0.004


# The documents


V2 = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""MobileNetV2 (arXiv:1801.04381, Table 2): channels, layers, stride of each stage."""


def text_of_the_paper(number):
    """Section 4.1's choices for one stage, worked out from MobileNetV2's."""
    channels, layers, stride = V2[number - 1]
    return {
        "op": ("conv", "dsconv", "mbconv"),
        "expand": (3, 6),
        "kernel": (3, 5),
        "se": (0, 0.25),
        "skip": ("none", "identity", "pool"),
        "channels": tuple(sorted({make_divisible(channels * ratio) for ratio in (0.75, 1, 1.25)})),
        "layers": tuple(sorted({max(1, layers + more) for more in (-1, 0, 1)})),
    }, stride


@pytest.mark.parametrize("number", range(1, 8))
def test_mnasnet_is_the_papers_text_to_the_letter(number):
    stage = SPACES["mnasnet"].stages[number - 1]
    options, stride = text_of_the_paper(number)
    assert stage.options == options
    assert stage.line.stride == stride
    assert len(SPACES["mnasnet"].stages) == 7


def test_mnasnets_widths_by_hand():
    """{0.75, 1, 1.25} x 16 = 12, 16, 20 become 16, 16, 24; x 24 = 18, 24, 30 become 24, 24, 32."""
    assert [list(stage.options["channels"]) for stage in SPACES["mnasnet"].stages] == [
        [16, 24], [24, 32], [24, 32, 40], [48, 64, 80], [72, 96, 120], [120, 160, 200], [240, 320, 400],
    ]  # fmt: skip


def test_mnasnets_size_by_hand():
    """op 3 x kernel 2 x expand 2 x se 2 x skip 3 = 72, times widths and depths."""
    widths, depths = (2, 2, 3, 3, 3, 3, 3), (2, 3, 3, 3, 3, 3, 2)
    assert SPACES["mnasnet"].size_raw == 72**7 * math.prod(widths) * math.prod(depths)
    # The paper's own count, a stage: 432 = 4 ops (mbconv twice) x 2 x 2 x 3 x 3 x 3; ours lists the
    # expansion apart, so 72 * 9 combinations hold 48 * 9 = 432 distinct ones.
    arch_keys = set()
    stage = SPACES["mnasnet"].stages[3]
    for values in stage.combinations():
        built = stage.stage(values)
        arch_keys.add(replace(built, expand=None if built.op != "mbconv" else built.expand))
    assert len(arch_keys) == 432


def as_in(space, name):
    """A baseline's architecture with the space's activation."""
    return replace(nas.load(name).architecture, activation=space.document.activation)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("mobilenet-v2", {}),
        ("mnasnet-a1", {"stage5": "channels 112 is not in [72, 96, 120]"}),
        ("mnasnet-b1", {"stage6": "channels 192 is not in [120, 160, 200]"}),
        (
            "efficientnet-b0",
            {
                "stage5": "channels 112 is not in [72, 96, 120]",
                "stage6": "channels 192 is not in [120, 160, 200]",
            },
        ),
    ],
)
def test_mnasnet_holds_mobilenet_v2_and_what_keeps_each_other_network_out(name, missing):
    space = SPACES["mnasnet"]
    assert space.missing(as_in(space, name)) == missing
    assert space.contains(as_in(space, name)) == (not missing)


def test_activation_keeps_the_released_b0_and_v2_out_too():
    assert SPACES["mnasnet"].missing(nas.load("mobilenet-v2").architecture) == {
        "activation": "relu6 instead of relu"
    }
    assert set(SPACES["mnasnet"].missing(nas.load("efficientnet-b0").architecture)) == {
        "activation", "stage5", "stage6",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("mnasnet-released", "mnasnet-a1"),
        ("mnasnet-released", "mnasnet-b1"),
        ("efficientnet", "efficientnet-b0"),
    ],
)
def test_released_networks_are_points_of_the_spaces_that_add_to_the_text(space, name):
    arch = nas.load(name).architecture
    found = SPACES[space]
    assert found.contains(arch)
    again = found.decode(found.encode(arch))
    assert again.key == arch.key
    assert (again.params, again.macs) == (arch.params, arch.macs)


def test_only_the_additions_are_added():
    for name in ("mnasnet-released", "efficientnet"):
        space = SPACES[name]
        assert space.document.added == {"stage5.channels": [112], "stage6.channels": [192]}
        for ours, text in zip(space.stages, SPACES["mnasnet"].stages, strict=True):
            added = space.document.added.get(ours.label("channels"), [])
            without = {f: tuple(v for v in values if v not in added) for f, values in ours.options.items()}
            assert without == text.options
            assert ours.line.stride == text.line.stride
    assert SPACES["mnasnet"].document.added == {}


def test_cifar_lies_within_1m_and_30m():
    low, high = SPACES["cifar"].costs.macs_range()
    assert 1_000_000 <= low < high <= 30_000_000
    # The ends are those of real networks: of 20,000 samples none is outside, and some come near.
    _, macs = SPACES["cifar"].costs.of_random(20_000, seed=0)
    assert low <= macs.min() < 1.6e6
    assert 20e6 < macs.max() <= high
    document = SPACES["cifar"].document
    assert (document.resolution, document.head.classes, document.stem.in_chans) == (32, 10, 3)


def test_digits_is_for_scikit_learns_digits():
    document = SPACES["digits"].document
    assert (document.resolution, document.head.classes, document.stem.in_chans) == (8, 10, 1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_neighbours_differ_in_cost_as_in_stages(seed):
    """A mutation of one stage changes the parts before it in nothing."""
    space = SPACES["efficientnet"]
    rng = np.random.default_rng(seed)
    sample = space.sample(rng)
    child = space.mutate(sample, rng)
    (label,) = [label for label in sample if child[label] != sample[label]]
    number = int(label.removeprefix("stage").split(".")[0])
    before, after = (list(space.decode(one).parts()) for one in (sample, child))
    assert before[:number] == after[:number]
    assert isinstance(space.decode(child), Architecture)


# search_spaces/README.md

README = (Path(__file__).parents[1] / "search_spaces" / "README.md").read_text()


def test_the_readmes_table_is_true():
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines() if "px, " in line
    ]
    assert {"mnasnet", "mnasnet-released", "efficientnet", "cifar", "digits"} == {
        row[0].strip("`") for row in rows
    }
    for name, images, size, raw, macs, target, _ in rows:
        space = SPACES[name.strip("`")]
        document = space.document
        channels = f"{document.stem.in_chans} channel{'s' if document.stem.in_chans > 1 else ''}"
        assert images == f"{document.resolution} px, {channels}, {document.head.classes} classes"
        assert (size, raw) == (f"{space.size:,}", f"{space.size_raw:,}")
        assert macs == "{:,} to {:,}".format(*space.costs.macs_range())
        assert target == f"{space.target:,}"


def test_the_readmes_example_loads():
    text = README.split("```yaml\n")[1].split("```")[0]
    space = SearchSpace(SpaceDocument.parse(text, "README.md"))
    assert space.size_raw == 2 * (2 * 2 * 2 * 2 * 3) * (2 * 2 * 2 * 2)
    assert space.target == 20_000_000


def test_the_readmes_grammar_names_every_field():
    fields = {
        line.split("`")[1] for line in README.split("| field |")[1].splitlines() if line.startswith("| `")
    }
    own = set(SpaceDocument.model_fields) | set(StageLine.model_fields)
    own |= {f"stem.{f}" for f in StemLine.model_fields} | {f"head.{f}" for f in HeadLine.model_fields}
    assert fields == own
