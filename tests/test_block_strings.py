"""Block strings of timm and the TPU code are read as their tools read them, and what is not understood is a mistake."""

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import nas
from nas import Architecture, Head, NasError, Stage, Stem
from nas.block_strings import mobilenet_v3_note, read_strings
from nas.export import export_text, to_timm, to_tpu
from nas.string_import import read_baseline

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))
trips = importlib.import_module("round_trips")

FRAME = {"resolution": 64, "in_chans": 3, "classes": 10, "activation": "relu", "stem": 16, "head": 32}


def read(text, tool="timm", **given):
    return read_strings(text, tool, "x.txt", **{**FRAME, **given})


def stage(text, tool="timm"):
    (only,) = read(text, tool).stages
    return only


# What the tools' own strings mean


def test_published_strings_give_the_published_networks():
    """The arch_def of timm's _gen_efficientnet as it stands in its source."""
    text = """[
        ['ds_r1_k3_s1_e1_c16_se0.25'],  # 112 x 112
        ['ir_r2_k3_s2_e6_c24_se0.25'],
        ['ir_r2_k5_s2_e6_c40_se0.25'],
        ['ir_r3_k3_s2_e6_c80_se0.25'],
        ['ir_r3_k5_s1_e6_c112_se0.25'],
        ['ir_r4_k5_s2_e6_c192_se0.25'],
        ['ir_r1_k3_s1_e6_c320_se0.25'],
    ]"""
    frame = {
        "resolution": 224,
        "in_chans": 3,
        "classes": 1000,
        "activation": "swish",
        "stem": 32,
        "head": 1280,
    }
    assert read_strings(text, "timm", **frame) == nas.load("efficientnet-b0").architecture


def test_the_tpu_codes_strings_give_the_published_network():
    """mnasnet_models.py's blocks of A1."""
    text = """'r1_k3_s11_e1_i32_o16_noskip', 'r2_k3_s22_e6_i16_o24', 'r3_k5_s22_e3_i24_o40_se0.25',
        'r4_k3_s22_e6_i40_o80', 'r2_k3_s11_e6_i80_o112_se0.25', 'r3_k5_s22_e6_i112_o160_se0.25',
        'r1_k3_s11_e6_i160_o320'"""
    frame = {
        "resolution": 224,
        "in_chans": 3,
        "classes": 1000,
        "activation": "relu",
        "stem": 32,
        "head": 1280,
    }
    arch = read_strings(text, "tpu", **frame)
    assert (arch.params, arch.macs) == (3_887_038, 311_579_072)  # as counted of timm's semnasnet_100
    assert arch.stages[0].skip == "none"
    assert [stage.skip for stage in arch.stages[1:]] == ["identity"] * 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ds_r1_k3_s1_c16", Stage("dsconv", 3, 16, skip="identity")),
        ("ds_r1_k3_s1_e1_c16_noskip", Stage("dsconv", 3, 16, expand=1)),
        ("dsa_r2_k3_s2_c16", Stage("dsconv", 3, 16, 2, 2, pointwise_activation=True)),
        ("cn_r2_k3_s1_e1_c24_skip", Stage("conv", 3, 24, 2, expand=1, skip="identity")),
        ("cn_r1_k3_s2_c24", Stage("conv", 3, 24, 1, 2)),
        ("ir_r2_k5_s2_e6_c40_se0.25", Stage("mbconv", 5, 40, 2, 2, 6, 0.25, "identity")),
        ("ir_r1_k3_s1_e1_c16", Stage("mbconv", 3, 16, expand=1, skip="identity", always_expand=True)),
        ("ir_c40_e2.5_s1_k5_r3_noskip", Stage("mbconv", 5, 40, 3, expand=2.5)),
    ],
)
def test_timms_kinds_of_blocks(text, expected):
    assert stage(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r1_k3_s11_e1_i16_o16", Stage("dsconv", 3, 16, expand=1, skip="identity")),
        ("r3_k5_s22_e3_i16_o40_se0.25_noskip", Stage("mbconv", 5, 40, 3, 2, 3, 0.25)),
    ],
)
def test_the_tpu_codes_blocks(text, expected):
    assert stage(text, "tpu") == expected


@pytest.mark.parametrize(
    "text",
    [
        "ds_r1_k3_s1_c16\nir_r1_k3_s2_e6_c24",
        "ds_r1_k3_s1_c16 ir_r1_k3_s2_e6_c24",
        "[['ds_r1_k3_s1_c16'], ['ir_r1_k3_s2_e6_c24']]",
        "[\n  'ds_r1_k3_s1_c16', # a comment\n  'ir_r1_k3_s2_e6_c24',\n]",
    ],
)
def test_lines_and_lists(text):
    assert [stage.stride for stage in read(text).stages] == [1, 2]


def test_every_baseline_that_a_notation_has_comes_back_with_its_comment():
    for name in (
        "efficientnet-b7",
        "efficientnet-lite4",
        "mnasnet-a1",
        "mnasnet-b1",
        "mobilenet-v1",
        "mobilenet-v2",
        "mobilenet-v3-large",
        "mobilenet-v3-small",
    ):
        found, wanted = read_strings(export_text(name, "timm"), "timm"), nas.load(name).architecture
        assert (
            replace(found, head=replace(found.head, narrows=wanted.head.narrows)) == wanted
        )  # no string's matter
    found = read_strings(export_text("efficientnet-v2-s", "timm"), "timm")
    assert (
        found.key == nas.load("efficientnet-v2-s").architecture.key
    )  # its fusedmbconv of expansion 1 is a conv
    for name in ("efficientnet-b7", "mnasnet-a1"):
        assert read_strings(export_text(name, "tpu"), "tpu") == nas.load(name).architecture


# The round trip


def test_round_trips_lose_nothing():
    """The 10,000 of the benchmark, fewer: none is lost, and of each notation some come back and some are refused."""
    rows = {row["notation"]: row for row in trips.rows(600, seed=1) if row["source"] == "all"}
    for tool in ("timm", "tpu"):
        row = rows[tool]
        assert (row["architectures"], row["lost"]) == (600, 0)
        assert min(row["lossless"], row["respelled"], row["refused"]) > 10
        assert sum(row[verdict] for verdict in ("lossless", "respelled", "refused")) == 600


def test_a_loss_would_be_found(monkeypatch):
    arch = nas.load("mnasnet-a1").architecture
    assert trips.judged(arch, "timm") == ("lossless", "")
    monkeypatch.setitem(trips.WRITERS, "timm", lambda arch: to_timm(arch).replace("_noskip", ""))
    assert trips.judged(arch, "timm")[0] == "lost"


def test_the_table_of_round_trips_is_that_of_its_rows():
    assert trips.report() in (Path(__file__).parents[1] / "docs/export.md").read_text()


def test_only_what_the_notation_lacks_is_refused():
    """The odd architectures, judged by rules of their own: timm's builder as its source has it."""
    for source, arch in trips.drawn(400, seed=2):
        assert (trips.judged(arch, "timm")[0] == "refused") == beyond_timm(arch), (
            source,
            arch,
        )


def beyond_timm(arch):
    """Stem of stride 2; widths that timm's rounding leaves; a cn has no SE, a dsa no skip; nothing pools; up to 1/32;
    a squeeze of round(mid * ratio / expansion) that is int(in * ratio); MobileNetV3's SE where there is its head, and
    then alone."""

    def rounded(channels):
        near = max(8, (channels + 4) // 8 * 8)
        return near + 8 if near < 0.9 * channels else near

    hidden = arch.head.hidden is not None
    widths = [arch.stem.channels, *(s.channels for s in arch.stages)]
    if hidden and arch.head.channels and rounded(arch.head.channels) != arch.head.channels:
        return True
    if arch.stem.stride != 2 or any(rounded(width) != width for width in widths):
        return True
    if 2 ** (1 + sum(s.stride == 2 for s in arch.stages)) > 32:
        return True
    for first, s in zip(widths, arch.stages, strict=False):
        cn = s.op == "conv" or (s.op == "fusedmbconv" and s.expand == 1)
        if s.skip == "pool" or (cn and s.se) or (s.pointwise_activation and s.skip != "none"):
            return True
        if s.se and (s.se_kind == "mobilenet-v3") != hidden:
            return True
        for inputs in {first, s.channels} if s.layers > 1 else {first}:
            expand = s.expand if s.op in ("mbconv", "fusedmbconv") else 1
            middle = rounded(int(inputs * expand)) if expand != 1 else inputs
            if (
                s.se
                and s.se_kind == "standard"
                and round(middle * (s.se / expand)) != max(1, int(inputs * s.se))
            ):
                return True
    return False


# Mistakes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "ir_r2_k3_s2_e6_c24_x9",
            "'ir_r2_k3_s2_e6_c24_x9': unknown token 'x9'; kind ir has r, k, s, e, c, se, n, noskip",
        ),
        (
            "ir_r2_k3_s2_e6_c24_nxx",
            "token 'nxx' is no n with re, r6, sw or hs; kind ir has r, k, s, e, c, se, n,",
        ),
        ("mx_r1_k3_s1_e2_c8", "is of kind 'mx'; kinds that a baseline has: ds, dsa, ir, er, cn"),
        ("irr_r1_k3_s1_e2_c8", "is of kind 'irr' (did you mean 'ir'?)"),
        ("ir_r2_k3_s2_c24", "has no token e; kind ir needs r, k, s, e, c"),
        ("ir_r2_k3_k5_s2_e6_c24", "token 'k5' is said twice or against another; leave one of them"),
        ("ir_r2_k3_s2_e6_c24_skip_noskip", "token 'noskip' is said twice or against another"),
        ("ir_r2_k3.5_s2_e6_c24", "token 'k3.5' is no k with a whole number; kind ir has"),
        ("ir_r2_k3_s2_e6_c24_se", "token 'se' is no se with a number"),
        ("ir_r2_k٣_s2_e6_c24", "token 'k٣' is no k with a whole number"),  # a digit, of another script
        ("ir_r2__k3_s2_e6_c24", "unknown token ''"),
        ("cn_r1_k3_s1_c8_se0.25", "unknown token 'se0.25'; kind cn has r, k, s, e, c, n, noskip, skip"),
        ("dsa_r1_k3_s1_c8_skip", "unknown token 'skip'; kind dsa has r, k, s, e, c, se, n, noskip"),
        ("ir_r0_k3_s1_e6_c24", "x.txt: stage1.layers is 0; give a whole number from 1 to 1000"),
        ("ir_r1_k4_s1_e6_c24", "x.txt: stage1.kernel is 4; give an odd number"),
        ("ir_r1_k3_s3_e6_c24", "x.txt: stage1.stride is 3; allowed: 1, 2"),
        ("ir_r1_k3_s1_e6_c20", "x.txt: stage1.channels is 20; timm rounds channels to eights, here to 24"),
        ("ir_r1_k3_s1_e6_c24_se0.3", "x.txt: stage1.se is 0.3; timm squeezes 96 channels to 5"),
        (
            "[['ir_r1_k3_s1_e6_c24',\n'ir_r1_k3_s2_e6_c24']]",
            "x.txt, line 2: 'ir_r1_k3_s2_e6_c24': s2, which timm takes of a list's first string alone",
        ),
        ("# nothing", "x.txt: has no block string, such as ir_r2_k3_s2_e6_c24; give one stage a line"),
    ],
)
def test_what_timms_reader_would_pass_over_is_a_mistake(text, sentence):
    with pytest.raises(NasError, match=re.escape(sentence)):
        read(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("r1_k3_s21_e1_i16_o16", "s21 has two strides; give the same twice, such as s22"),
        ("r1_k3_s2_e1_i16_o16", "token 's2' is no s with two digits, such as s22"),
        (
            "r1_k3_s11_e1_i32_o16",
            "x.txt, line 1: 'r1_k3_s11_e1_i32_o16': i32, but 16 channels come in; write i16",
        ),
        ("r1_k3_s11_e2.5_i16_o16", "token 'e2.5' is no e with a whole number"),
        ("r1_k3_s11_e1_o16", "has no token i; the tpu notation needs r, k, s, e, i, o"),
        ("r1_k3_s11_e1_i16_o16_cc", "unknown token 'cc'; the tpu notation has r, k, s, e, i, o, se, noskip"),
        ("ds_r1_k3_s1_c16", "unknown token 'ds'; the tpu notation has"),
    ],
)
def test_what_the_tpu_codes_reader_would_pass_over_is_a_mistake(text, sentence):
    with pytest.raises(NasError, match=re.escape(sentence)):
        read(text, "tpu")


def test_what_no_string_carries_has_to_be_said():
    with pytest.raises(NasError, match=re.escape(
        "x.txt: does not say in_chans, head, which no string carries; give --in-chans --head, or a file that begins "
        "with the comment that nas export writes"
    )):  # fmt: skip
        read("ds_r1_k3_s1_c16", in_chans=None, head=None)
    assert read("ds_r1_k3_s1_c16", head=0).head == Head(None, 10)
    with pytest.raises(
        NasError, match=r"--head: head.channels is null; the tpu code always has a head convolution"
    ):
        read("r1_k3_s11_e1_i16_o16", "tpu", head=0)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"resolution": 0}, "--resolution: resolution is 0; give a whole number from 1 to 16384"),
        ({"stem": 0}, "--stem: stem.channels is 0; give a whole number from 1 to 65536"),
        ({"stem": 20}, "--stem: stem.channels is 20; timm rounds channels to eights"),
        ({"in_chans": -1}, "--in-chans: stem.in_chans is -1; give"),
        ({"classes": 0}, "--classes: head.classes is 0; give"),
        ({"head": -8}, "--head: head.channels is -8; give"),
        ({"activation": "gelu"}, "--activation: activation is 'gelu'; allowed: relu"),
    ],
)
def test_a_wrong_option_is_named_and_not_the_file(given, sentence):
    with pytest.raises(NasError, match="^" + re.escape(sentence)):
        read("ds_r1_k3_s1_c16", **given)


def test_a_wrong_comment_or_string_is_the_files():
    text = export_text("mnasnet-a1", "timm").replace("224 px", "0 px")
    with pytest.raises(NasError, match=r"^x.txt: resolution is 0; give"):
        read_strings(text, "timm", "x.txt", stem=32)
    with pytest.raises(NasError, match=r"^x.txt: stage1.activation|^x.txt: stage1.channels is 20"):
        read("ds_r1_k3_s1_c20", activation="relu")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[['ds_r1_k3_s1_c16'", "x.txt, line 1: '[' is not closed; write the list to its end"),
        ("[\n['ds_r1_k3_s1_c16'],\n", "x.txt, line 1: '[' is not closed"),
        ("['ds_r1_k3_s1_c16']]", "x.txt, line 1: ']' closes nothing that is open"),
        ("['ds_r1_k3_s1_c16')", "x.txt, line 1: ')' closes nothing that is open"),
        ("['ds_r1_k3_s1_c16]", "has a quote that is not closed; write both"),
    ],
)
def test_a_list_that_is_cut_off_is_a_mistake(text, sentence):
    with pytest.raises(NasError, match=re.escape(sentence)):
        read(text)


MOBILENET_V3 = """[
    ['ds_r1_k3_s1_e1_c16_nre'],
    ['ir_r1_k3_s2_e4_c24_nre', 'ir_r1_k3_s1_e3_c24_nre'],
    ['ir_r3_k5_s2_e3_c40_se0.25_nre'],
    ['ir_r1_k3_s2_e6_c80', 'ir_r1_k3_s1_e2.5_c80', 'ir_r2_k3_s1_e2.3_c80'],
    ['ir_r2_k3_s1_e6_c112_se0.25'],
    ['ir_r3_k5_s2_e6_c160_se0.25'],
    ['cn_r1_k1_s1_c960'],
]"""
"""The arch_def of timm's _gen_mobilenet_v3 for Large."""


def test_mobilenet_v3s_own_strings_are_read_with_a_note_or_with_its_comment():
    frame = {"resolution": 224, "in_chans": 3, "classes": 1000, "activation": "hard_swish", "stem": 16}
    other = read_strings(MOBILENET_V3, "timm", **frame, head=0)
    (note,) = mobilenet_v3_note(other)
    assert "no string carries its kind of SE and its hidden layer" in note
    (line,) = re.findall(r"the line (# .*\)),", note)
    wanted = nas.load("mobilenet-v3-large").architecture
    found = read_strings(f"{line}\n{MOBILENET_V3}", "timm", **frame, head=960)
    assert found.key == wanted.key != other.key
    assert not mobilenet_v3_note(found)
    for name in ("efficientnet-b0", "mobilenet-v2"):
        assert not mobilenet_v3_note(nas.load(name).architecture)


def test_options_stand_over_the_comment_and_there_is_one_comment():
    text = export_text("mnasnet-a1", "timm")
    assert read_strings(text, "timm", resolution=96, classes=7) == replace(
        nas.load("mnasnet-a1").architecture, resolution=96, head=Head(1280, 7)
    )
    with pytest.raises(
        NasError, match="strings: has 2 comments of nas export; keep the strings of one network"
    ):
        read_strings(text + text, "timm")


def test_files(tmp_path):
    path = tmp_path / "mine.txt"
    arch = Architecture(Stem(16), (Stage("dsconv", 3, 16),), Head(32, 10), "relu", 64)
    path.write_text(to_tpu(arch))
    assert read_baseline(path, "tpu").name == "mine"  # whose comment has no name
    assert read_baseline(path, "tpu", "other").name == "other"
    for name in ("../x", ""):
        with pytest.raises(NasError, match=rf"^--name: name is '{name}'; give up to 128 letters"):
            read_baseline(path, "tpu", name)
    spaced = path.with_name("my net.txt")
    spaced.write_text(path.read_text())
    with pytest.raises(NasError, match=r"my net.txt: name is 'my net'; give .*; or choose another --name$"):
        read_baseline(spaced, "tpu")
    with pytest.raises(NasError, match=r"nowhere.txt: cannot be read"):
        read_baseline(tmp_path / "nowhere.txt", "tpu")
    path.write_text("ds_r1_k3_s1_c16\n" * 5000)
    with pytest.raises(NasError, match="larger than 64 KiB, which no list of block strings is"):
        read_baseline(path, "timm")
