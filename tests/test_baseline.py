"""Baselines: what is written is read back, facts are verified, nothing is lost or overwritten."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas import Architecture, Baseline, Head, NasError, Stage, Stem, catalog
from nas.baseline import dump, from_document, save
from nas.documents import BaselineDocument, Facts, Provenance, ScalingLine, SpaceDocument

SHIPPED = [
    *(f"efficientnet-b{phi}" for phi in range(8)), *(f"efficientnet-lite{n}" for n in range(5)),
    "mnasnet-a1", "mnasnet-b1", "mnasnet-b1-0.5", "mnasnet-b1-0.75", "mnasnet-b1-1.3", "mobilenet-v1", "mobilenet-v2",
    "mobilenet-v3-large", "mobilenet-v3-small", "efficientnet-v2-s", "resnet-18", "resnet-34", "resnet-50",
    *(f"shufflenet-v2-{width}" for width in ("0.5", "1.0", "1.5", "2.0")), "squeezenet-1.0", "squeezenet-1.1",
    "xception",
]  # fmt: skip

# (params, multiply-adds of convolutions and linear layers) as timm and torchvision build them
NETWORKS = {
    "efficientnet-b0": (5_288_548, 385_814_752),
    "efficientnet-b1": (7_794_184, 686_802_832),
    "efficientnet-b2": (9_109_994, 993_561_872),
    "efficientnet-b3": (12_233_232, 1_827_141_392),
    "efficientnet-b4": (19_341_616, 4_393_771_024),
    "efficientnet-b5": (30_389_784, 10_266_384_752),
    "efficientnet-b6": (43_040_704, 19_067_593_536),
    "efficientnet-b7": (66_347_960, 37_745_884_192),
    "efficientnet-lite0": (4_652_008, 385_187_552),
    "efficientnet-lite1": (5_416_680, 600_185_232),
    "efficientnet-lite2": (6_092_072, 859_736_272),
    "efficientnet-lite3": (8_197_096, 1_383_321_872),
    "efficientnet-lite4": (13_006_568, 2_553_034_336),
    "mnasnet-a1": (3_887_038, 311_579_072),
    "mnasnet-b1": (4_383_312, 314_415_872),
    "mnasnet-b1-0.5": (2_218_512, 104_455_968),
    "mnasnet-b1-0.75": (3_170_208, 215_493_104),
    "mnasnet-b1-1.3": (6_282_256, 526_362_432),
    "mobilenet-v1": (4_231_976, 568_740_352),
    "mobilenet-v2": (3_504_872, 300_774_272),
    "mobilenet-v3-large": (5_483_032, 216_589_760),
    "mobilenet-v3-small": (2_542_856, 56_510_400),
    "efficientnet-v2-s": (21_458_488, 8_365_617_152),
    "resnet-18": (11_689_512, 1_814_073_344),
    "resnet-34": (21_797_672, 3_663_761_408),
    "resnet-50": (25_557_032, 4_089_184_256),
    "shufflenet-v2-0.5": (1_366_792, 40_476_448),
    "shufflenet-v2-1.0": (2_278_604, 144_907_992),
    "shufflenet-v2-1.5": (3_503_624, 295_759_392),
    "shufflenet-v2-2.0": (7_393_996, 583_253_464),
    "squeezenet-1.0": (1_248_424, 818_924_576),
    "squeezenet-1.1": (1_235_496, 349_151_936),
    "xception": (22_855_952, 8_357_403_496),
}


def parse(text):
    return from_document(BaselineDocument.parse(text, "found.yml"))


def test_every_shipped_baseline_is_there():
    assert set(SHIPPED) <= set(catalog.names("baselines"))
    assert set(SHIPPED) == set(NETWORKS)


@pytest.mark.parametrize("name", SHIPPED)
def test_published_counts(name):
    baseline = nas.load(name)
    assert (baseline.architecture.params, baseline.architecture.macs) == NETWORKS[name]
    assert baseline.facts is not None
    assert (baseline.facts.params, baseline.facts.macs) == NETWORKS[name]
    assert baseline.name == name
    assert baseline.source


# Round trips


@pytest.mark.parametrize("name", catalog.names("baselines"))
def test_dump_and_load_give_back_the_same(name):
    baseline = nas.load(name)
    assert parse(dump(baseline)) == baseline
    assert dump(parse(dump(baseline))) == dump(baseline)


def test_a_stage_is_one_line_with_its_size():
    lines = dump(nas.load("efficientnet-b0")).splitlines()
    start = lines.index("stages:")
    assert lines[start - 1] == "stem: {channels: 32, stride: 2}   # 112 x 112"
    assert lines[start + 1] == (
        "  - {op: dsconv, kernel: 3, expand: 1, se: 0.25, skip: identity, channels: 16, layers: 1, stride: 1}"
        "   # 112 x 112"
    )
    sizes = [line.split("#")[1].strip() for line in lines[start + 1 : start + 8]]
    assert sizes == [f"{n} x {n}" for n in (112, 56, 28, 14, 14, 7, 7)]  # EfficientNet's Table 1


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
stages = st.builds(
    Stage,
    op=st.just("mbconv"),
    kernel=st.sampled_from([1, 3, 5, 7]),
    channels=st.integers(1, 400),
    layers=st.integers(1, 20),
    stride=st.sampled_from([1, 2]),
    expand=st.floats(0.01, 64) | st.integers(1, 64),
    se=st.floats(0, 1) | st.just(0),
    skip=st.sampled_from(["none", "identity", "pool"]),
)
kinds = st.sampled_from(
    [
        {},
        {"always_expand": True},
        {"op": "conv"},
        {"op": "conv", "expand": None},
        {"op": "dsconv", "expand": None},
        {"op": "dsconv", "pointwise_activation": True},
    ]
)
architectures = st.builds(
    Architecture,
    stem=st.builds(
        Stem, channels=st.integers(1, 64), stride=st.sampled_from([1, 2]), in_chans=st.sampled_from([1, 3, 7])
    ),
    stages=st.lists(st.builds(lambda s, kind: replace(s, **kind), stages, kinds), min_size=1, max_size=6).map(
        tuple
    ),
    head=st.builds(Head, channels=st.none() | st.integers(1, 2000), classes=st.integers(1, 10_000)),
    activation=st.sampled_from(["relu", "relu6", "swish"]),
    resolution=st.integers(128, 1000),
)


def with_facts(baseline: Baseline, rest: dict) -> Baseline:
    arch = baseline.architecture
    return replace(baseline, facts=Facts(params=arch.params, macs=arch.macs, **rest))


baselines = st.builds(
    with_facts,
    st.builds(
        Baseline,
        name=names,
        architecture=architectures,
        source=texts,
        dropout=st.floats(0, 0.99),
        scaling=st.none() | st.just(ScalingLine(alpha=1.3, beta=1, gamma=1.15)),
        provenance=st.none()
        | st.builds(
            Provenance,
            space=st.none() | texts,
            trial=st.none() | st.integers(0, 10_000),
            date=st.just("2026-01-31T12:00:00+00:00"),
            versions=st.dictionaries(names, texts, max_size=2),
        ),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "accuracy": st.floats(0, 1),
            "search_accuracy": st.floats(0, 1),
            "reward": st.floats(0, 1),
            "data": texts,
            "seed": st.integers(0, 2**32),
        },
    ),
)


@given(baselines)
@settings(max_examples=200, deadline=None)
def test_random_baselines_round_trip(baseline):
    same = (
        parse(dump(baseline)) == baseline
    )  # not in the assert: pytest's diff of each shrunk example is slow
    assert same


@given(baselines)
@settings(max_examples=20, deadline=None)
def test_random_baselines_are_saved_and_loaded(tmp_path_factory, baseline):
    path = save(baseline, tmp_path_factory.mktemp("saved") / "deep" / "found.yml")
    same = nas.load(path) == baseline
    assert same
    assert [file.name for file in path.parent.iterdir()] == ["found.yml"]


@pytest.mark.parametrize("name", ["123", "1e5", "null", "yes", "2024-01-31", "0x10", "1_0", "1.5"])
def test_names_that_yaml_reads_as_something_else_round_trip(name):
    baseline = replace(nas.load("mobilenet-v1"), name=name)
    assert parse(dump(baseline)).name == name


def test_facts_read_by_other_tools_are_plain_yaml():
    data = yaml.safe_load(dump(nas.load("efficientnet-b0")))
    assert data["facts"]["macs"] == 385_814_752
    assert data["stages"][1]["expand"] == 6


# Refusals


B0 = dump(nas.load("efficientnet-b0"))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            "params: 5288548",
            "params: 5288549",
            "line 16: facts.params is 5288549, but the stages have 5288548",
        ),
        ("macs: 385814752", "macs: 400M", "line 17: facts.macs is 400000000, but the stages have 385814752"),
        # One of stage 6's four blocks less: 192 x 1152 + 25 x 1152 + SE 2 x 1152 x 48 + 1152 + 48
        # + 1152 x 192, and batch norm's 2 x (1152 + 1152 + 192): 587,952.
        ("layers: 4", "layers: 3", "line 16: facts.params is 5288548, but the stages have 4700596"),
    ],
)
def test_tampered_facts_are_refused(before, after, sentence):
    assert before in B0
    with pytest.raises(NasError) as error:
        parse(B0.replace(before, after))
    assert str(error.value) == (
        f"found.yml, {sentence}; one of them was changed by hand: mend it, or leave the facts out"
    )


def test_a_baseline_without_facts_is_not_verified():
    text = B0[: B0.index("facts:")].replace("layers: 4", "layers: 3")
    assert parse(text).facts is None


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("kernel: 5", "kernel: [3, 5]", "line 8: stage3.kernel is [3, 5]; a baseline writes one value"),
        ("op: dsconv", "op: [conv]", "line 6: stage1.op is ['conv']; a baseline writes one value"),
        ("layers: 4", "layers: []", "line 11: stage6.layers is empty; give at least one value"),
        (
            "accuracy: 0.771",
            "accuracy: 77.1",
            "line 19: facts.accuracy is 77.1; give a number less than or equal to 1",
        ),
        ("op: dsconv", "op: dscnv", "line 6: stage1.op is 'dscnv' (did you mean 'dsconv' or "),
        (
            "activation: swish",
            "activation: silu",
            "line 14: activation is 'silu'; allowed: relu, relu6, swish",
        ),
        ("resolution: 224", "resolution: 0", "line 3: resolution is 0; give a whole number from 1 to 16384"),
        (
            "resolution: 224",
            "resolution: 16",
            "line 11: stage6.stride is 2 on a map of 1 x 1 pixel; at resolution 16 fewer strides fit",
        ),
    ],
)
def test_bad_documents_are_refused_with_the_line(before, after, sentence):
    assert before in B0
    with pytest.raises(NasError) as error:
        parse(B0.replace(before, after, 1))
    assert str(error.value).startswith(f"found.yml, {sentence}")


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(
        NasError, match=r"there is no baseline 'eficientnet-b0' \(did you mean 'efficientnet-b0'"
    ):
        nas.load("eficientnet-b0")
    with pytest.raises(
        NasError, match=r"no/such.yml: there is no such file; give the path of a baseline's YAML"
    ):
        nas.load("no/such.yml")


# Saving


def test_an_existing_name_is_refused_without_force(tmp_path):
    path = tmp_path / "found.yml"
    path.write_text("mine")
    with pytest.raises(
        NasError, match=r"found.yml exists; choose another --name, or give --force to replace it"
    ):
        save(nas.load("mnasnet-a1"), path)
    assert path.read_text() == "mine"
    save(nas.load("mnasnet-a1"), path, force=True)
    assert nas.load(path) == nas.load("mnasnet-a1")


def test_what_would_not_load_is_not_saved(tmp_path):
    path = tmp_path / "found.yml"
    b0 = nas.load("efficientnet-b0")
    assert b0.facts is not None
    wrong = replace(b0, facts=b0.facts.model_copy(update={"macs": 1}))
    with pytest.raises(NasError, match=r"found.yml, line 17: facts.macs is 1, but the stages have 385814752"):
        save(wrong, path)
    with pytest.raises(NasError, match=r"found.yml, line 1: name is '../b0'; give up to 128 letters, digits"):
        save(replace(b0, name="../b0"), path)
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def without_privileges():
    """As another user than root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_one_sentence(tmp_path):
    folder = tmp_path / "baselines"
    folder.mkdir()
    folder.chmod(0o555)
    with (
        without_privileges(),
        pytest.raises(NasError, match=r"cannot be written \(Permission denied\); choose"),
    ):
        save(nas.load("mnasnet-a1"), folder / "found.yml")
    folder.chmod(0o755)
    assert list(folder.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NasError, match=r"found.yml: cannot be written \(.*\); choose another --output"):
        save(nas.load("mnasnet-a1"), tmp_path / "file" / "found.yml")


def test_a_failed_write_leaves_the_old_document_and_no_rest(tmp_path, monkeypatch):
    path = save(nas.load("mnasnet-a1"), tmp_path / "found.yml")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NasError, match=r"cannot be written \(No space left on device\)"):
        save(nas.load("mnasnet-b1"), path, force=True)
    monkeypatch.undo()
    assert nas.load(path).name == "mnasnet-a1"
    assert [file.name for file in tmp_path.iterdir()] == ["found.yml"]


# The catalogue


def test_own_documents_come_before_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert nas.load("mnasnet-a1").architecture.stem.channels == 32
    own = replace(nas.load("mnasnet-a1"), facts=None)
    own = replace(own, architecture=replace(own.architecture, stem=Stem(16)))
    save(own, tmp_path / "baselines" / "mnasnet-a1.yml")
    save(replace(own, name="mine"), tmp_path / "baselines" / "mine.yml")
    assert nas.load("mnasnet-a1").architecture.stem.channels == 16
    assert nas.load("mine").name == "mine"
    assert {"mine", "efficientnet-b0"} <= set(catalog.names("baselines"))


def test_the_official_family_does_not_depend_on_own_documents(tmp_path, monkeypatch):
    b0 = nas.load("efficientnet-b0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "efficientnet-b0.yml").write_text("nonsense")
    assert nas.scale(b0.architecture, phi=1, official=True).params == 7_794_184


# baselines/README.md

README = (Path(__file__).parents[1] / "baselines" / "README.md").read_text()


def test_the_readmes_table_is_true():
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines() if line[:3] == "| `"
    ]
    rows = [row for row in rows if len(row) == 5 and row[0].startswith("`")]
    assert [row[0].strip("`") for row in rows] == SHIPPED
    for name, pixels, params, macs, _ in rows:
        name = name.strip("`")
        assert (params, macs) == tuple(f"{count:,}" for count in NETWORKS[name])
        assert int(pixels) == nas.load(name).architecture.resolution


def test_the_readmes_example_loads():
    """
    At 64 px, parameters + multiply-adds. Stem, 32 px: 432 + 32; 432 x 1024 = 442,368.
    dsconv: 144 + 32, SE 2 x 16 x 4 + 20, 256 + 32 = 612; (144 + 256) x 1024 + 128 = 409,728.
    mbconv, 16 -> 96 -> 32, 16 px: 1536 + 192, 2400 + 192, SE 2 x 96 x 4 + 100, 3072 + 64 = 8,324;
    1536 x 1024 + (2400 + 3072) x 256 + 768 = 2,974,464. 32 -> 192 -> 32: 6144 + 384, 4800 + 384,
    SE 2 x 192 x 8 + 200, 6144 + 64 = 21,192; (6144 + 4800 + 6144) x 256 + 3072 = 4,377,600.
    Head: 8192 + 512, 1280 + 5; 8192 x 256 + 1280 = 2,098,432.
    """
    text = README.split("```yaml\n")[1].split("```")[0]
    arch = parse(text).architecture
    assert arch.params == 464 + 612 + 8_324 + 21_192 + 8_704 + 1_285
    assert arch.macs == 442_368 + 409_728 + 2_974_464 + 4_377_600 + 2_098_432


def test_the_readmes_grammar_names_every_field_of_its_own():
    table = README.split("| field |")[1]
    words = {word for line in table.splitlines() if line.startswith("| `") for word in line.split("`")[1::2]}
    own = set(BaselineDocument.model_fields) - set(SpaceDocument.model_fields)
    assert own | {"facts.fvcore"} <= words
    assert set(Provenance.model_fields) | set(ScalingLine.model_fields) <= words
    assert {f"facts.{field}" for field in set(Facts.model_fields) - {"params", "macs"}} <= words
