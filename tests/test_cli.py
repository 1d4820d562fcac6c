"""The command line: what it prints, one JSON document where asked, one sentence for every mistake."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

import nas
from nas import SearchSpace, cli
from nas.search.journal import FILE, Journal

ROOT = Path(__file__).parents[1]

# EfficientNet's released code and the counts of B0 ... B7 (timm's and torchvision's networks).
OFFICIAL = [
    (0, 1.0, 1.0, 224, 0.2, 5_288_548, 385_814_752),
    (1, 1.0, 1.1, 240, 0.2, 7_794_184, 686_802_832),
    (2, 1.1, 1.2, 260, 0.3, 9_109_994, 993_561_872),
    (3, 1.2, 1.4, 300, 0.3, 12_233_232, 1_827_141_392),
    (4, 1.4, 1.8, 380, 0.4, 19_341_616, 4_393_771_024),
    (5, 1.6, 2.2, 456, 0.4, 30_389_784, 10_266_384_752),
    (6, 1.8, 2.6, 528, 0.5, 43_040_704, 19_067_593_536),
    (7, 2.0, 3.1, 600, 0.5, 66_347_960, 37_745_884_192),
]
SCALED = {"phi", "name", "width", "depth", "resolution", "dropout", "params", "macs", "target_macs"}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Nas = Callable[..., Done]


@pytest.fixture
def nas_(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Runs a command line in this process and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, captured.out, captured.err)

    return run


def refused(done: Done, start: str) -> bool:
    """One sentence on stderr, nothing on stdout, exit code 2."""
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"nas: {start}"), done.err
    return True


# As a program


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "nas.cli"]
    done = subprocess.run(
        [*command, "show", "mobilenet-v2", "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["macs"] == 300_774_272  # MobileNetV2 1.0, 224 px
    done = subprocess.run([*command, "show", "mobilenet-v4"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nas: there is no baseline 'mobilenet-v4' (did you mean 'mobilenet-v2' or ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["show", "efficientnet-b0", "--json"], ["space", "digits", "--sample", "2000"]],
    ids=["less than a buffer", "more than a buffer"],
)
def test_a_reader_that_leaves_is_no_error(words, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli", *words],
        stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_help_names_every_command(nas_):
    done = nas_("--help")
    assert done.code == 0
    for command in ("search", "space", "show", "freeze", "scale", "export"):
        assert re.search(rf"\b{command}\b", done.out)
        assert nas_(command, "-h").code == 0


def test_no_command_shows_the_help(nas_):
    done = nas_()
    assert done.code == 2
    assert "Usage: nas" in done.out + done.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["shew"], "No such command 'shew'"),
        (["show"], "Missing argument 'baseline'; see nas show --help"),
        (["show", "a", "b"], "Got unexpected extra argument"),
        (["show", "--jsn", "x"], "No such option: --jsn"),
        (["space", "digits", "--sample", "-1"], "Invalid value for '--sample': "),
        (["space", "digits", "--sample", "two"], "Invalid value for '--sample': "),
        (["space", "digits", "--sample", "1", "--seed", "-1"], "Invalid value for '--seed': "),
        (["scale", "efficientnet-b0", "--width", "wide"], "Invalid value for '--width': "),
        (["search", "search.yml", "--trials", "0"], "Invalid value for '--trials': "),
        (["freeze", "abc", "--trial", "-1"], "Invalid value for '--trial': "),
        (["export", "efficientnet-b0"], "Missing option '--to'"),
    ],
)
def test_a_word_out_of_place_is_one_sentence(nas_, words, sentence):
    done = nas_(*words)
    assert refused(done, sentence)
    assert re.search(r"; see nas( \w+)? --help\n$", done.err)


# show


@pytest.mark.parametrize("name", ["efficientnet-b0", "mnasnet-a1", "mobilenet-v1"])
def test_show_json_is_the_public_document(nas_, name):
    document = nas_("show", name, "--json").json
    assert document.keys() == {"name", "resolution", "classes", "params", "macs", "stem", "head", "stages"}
    for stage in document["stages"]:
        assert stage.keys() == {
            "op", "kernel", "expand", "se", "skip", "channels", "layers", "stride", "params", "macs",
        }  # fmt: skip
    parts = [document["stem"], document["head"], *document["stages"]]
    for key in ("params", "macs"):
        assert sum(part[key] for part in parts) == document[key]
    arch = nas.load(name).architecture
    assert (document["name"], document["params"], document["macs"]) == (name, arch.params, arch.macs)


def test_show_json_of_b0(nas_):
    document = nas_("show", "efficientnet-b0", "--json").json
    assert (document["resolution"], document["classes"]) == (224, 1000)
    assert (document["params"], document["macs"]) == OFFICIAL[0][-2:]
    assert [stage["expand"] for stage in document["stages"]] == [1, 6, 6, 6, 6, 6, 6]
    assert [stage["kernel"] for stage in document["stages"]] == [3, 3, 5, 3, 5, 5, 3]
    assert all(stage["se"] == 0.25 for stage in document["stages"])


def test_show_json_writes_what_is_absent_as_1_and_0(nas_):
    stages = nas_("show", "mobilenet-v1", "--json").json["stages"]
    assert {(stage["op"], stage["expand"], stage["se"], stage["skip"]) for stage in stages} == {
        ("dsconv", 1, 0.0, "none")
    }


def test_show_prints_the_stage_table(nas_):
    done = nas_("show", "efficientnet-b0")
    assert (done.code, done.err) == (0, "")
    assert "5,288,548 parameters, 385,814,752 multiply-adds at 224 px" in done.out
    rows = [line.split() for line in done.out.splitlines() if re.match(r" (stem|\d|head) ", line)]
    assert [row[0] for row in rows] == ["stem", "1", "2", "3", "4", "5", "6", "7", "head"]
    assert rows[3][:8] == ["3", "mbconv6", "5x5", "0.25", "identity", "2", "56", "40"]


def test_show_takes_a_path(nas_, tmp_path):
    text = (ROOT / "baselines" / "mnasnet-a1.yml").read_text()
    (tmp_path / "mine.yml").write_text(text.replace("name: mnasnet-a1", "name: mine"))
    assert nas_("show", "mine.yml", "--json").json["name"] == "mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("efficientnet-b9", "there is no baseline 'efficientnet-b9' (did you mean 'efficientnet-b"),
        ("nowhere.yml", "nowhere.yml: there is no such file; give the path of a baseline's YAML"),
        ("/", "/: there is no such file"),
        ("", "there is no baseline ''"),
        ("bad.yml", "bad.yml, line 2: unknown key 'resolutoin' (did you mean 'resolution'?)"),
        ("space.yml", "space.yml, line 5: stage1.kernel is [3, 5]; a baseline writes one value"),
        ("binary.yml", "binary.yml: not UTF-8 text"),
        ("bomb.yml", "bomb.yml, line 1: anchors and aliases (& and *) are refused"),
    ],
)
def test_show_names_the_mistake(nas_, tmp_path, name, sentence):
    stage = "{op: conv, kernel: [3, 5], channels: 8}"
    text = f"name: x\nresolution: 8\nstem: {{channels: 8}}\nstages:\n  - {stage}\nhead: {{channels: 8}}\n"
    (tmp_path / "space.yml").write_text(text)
    (tmp_path / "bad.yml").write_text(text.replace("resolution", "resolutoin"))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bomb.yml").write_text("a: &a [x, x]\nb: [*a, *a]\n")
    assert refused(nas_("show", name), sentence)


# space


def test_space_json_is_the_public_document(nas_):
    """The product of digits' lists: 3 ops, 2 kernels, 2 expansions, 2 SE, 3 skips, 3 widths, 2 or 3 depths."""
    document = nas_("space", "digits", "--json").json
    assert document.keys() == {"name", "size", "size_raw", "target", "choices"}
    assert document["size_raw"] == (3 * 2 * 2 * 2 * 3 * 3 * 2) * (3 * 2 * 2 * 2 * 3 * 3 * 3) ** 2
    assert 0 < document["size"] < document["size_raw"]
    assert document["choices"]["stage1.op"] == ["conv", "dsconv", "mbconv"]
    assert len(document["choices"]) == 21


def test_the_published_target_is_efficientnets(nas_):
    assert nas_("space", "efficientnet", "--json").json["target"] == 400_000_000


def test_samples_repeat_with_their_seed(nas_):
    first, again, other = (
        nas_("space", "digits", "--sample", 3, "--seed", seed, "--json").json["samples"] for seed in (1, 1, 2)
    )
    assert first == again != other
    space = SearchSpace.load("digits")
    assert [space.decode(entry["sample"]).macs for entry in first] == [entry["macs"] for entry in first]


def test_space_prints_size_choices_and_costs(nas_):
    done = nas_("space", "efficientnet", "--sample", 1)
    assert (done.code, done.err) == (0, "")
    assert "at 224 px, 1000 classes" in done.out
    assert "target of the reward (T): 400M" in done.out
    assert re.search(r"multiply-adds: \d+M to [\d.]+G;  5 %: \d+M  25 %: ", done.out)
    assert "112+" in done.out
    assert "'stage1.op'" in done.out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digit", "there is no search space 'digit' (did you mean 'digits'?); known: "),
        ("nowhere.yml", "nowhere.yml: there is no such file; give the path of a search space's YAML"),
        ("empty.yml", "empty.yml, line 2: stage1.kernel is empty; give at least one value"),
    ],
)
def test_space_names_the_mistake(nas_, tmp_path, name, sentence):
    (tmp_path / "empty.yml").write_text(
        "{name: x, resolution: 8, stem: {channels: 8}, head: {channels: 8}, stages: [\n"
        "{op: conv, kernel: [], channels: 8}]}"
    )
    assert refused(nas_("space", name), sentence)


# scale


def test_the_official_family_is_the_published_one(nas_):
    members = nas_("scale", "efficientnet-b0", "--official", "--json").json
    assert [
        (m["phi"], m["width"], m["depth"], m["resolution"], m["dropout"], m["params"], m["macs"])
        for m in members
    ] == OFFICIAL
    assert all(member.keys() == SCALED for member in members)
    assert [member["name"] for member in members] == [f"efficientnet-b{phi}" for phi in range(8)]
    assert [member["target_macs"] for member in members] == [OFFICIAL[0][-1] * 2**phi for phi in range(8)]


def test_members_come_in_the_order_asked(nas_):
    members = nas_("scale", "efficientnet-b0", "--phi", "2,0,1", "--json").json
    assert [(m["phi"], m["name"]) for m in members] == [
        (2, "efficientnet-b0-phi2"), (0, "efficientnet-b0-phi0"), (1, "efficientnet-b0-phi1"),
    ]  # fmt: skip
    assert (members[2]["width"], members[2]["depth"], members[2]["resolution"]) == (1.1, 1.2, 258)
    assert members[2]["dropout"] == pytest.approx(0.2 + 0.3 / 7)


def test_coefficients_may_be_given(nas_):
    (member,) = nas_(
        "scale", "mnasnet-a1", "--phi", 1, "--alpha", 2, "--beta", 1, "--gamma", 1, "--json"
    ).json  # fmt: skip
    assert (member["width"], member["depth"], member["resolution"]) == (1, 2, 224)


def test_one_dimension_alone(nas_):
    (member,) = nas_("scale", "mobilenet-v1", "--width", 2, "--json").json
    assert member.keys() == SCALED
    assert (member["phi"], member["width"], member["depth"], member["resolution"]) == (None, 2, 1, 224)
    assert member["target_macs"] == 4 * 568_740_352  # MobileNetV1's own


def test_scale_prints_promise_and_what_came_of_it(nas_):
    done = nas_("scale", "efficientnet-b0", "--phi", "0,1")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"efficientnet-b0-phi1 +1 +1.1 +1.2 +258 .* 772M +993M +\+29 %", done.out)


def test_a_phi_of_which_no_network_is_left_is_named(nas_):
    sentence = (
        "efficientnet-b0 at phi 100: width is 13780.6; give a ratio over 0, up to 1000, with a smaller phi"
    )
    assert refused(nas_("scale", "efficientnet-b0", "--phi", "1,100"), sentence)


def test_what_costs_far_more_than_its_target_is_told_in_multiples(nas_):
    out = nas_("scale", "efficientnet-b0", "--width", "0.01", "--depth", "0.01").out
    assert re.search(r" 386 +15.3M +3.97e\+04 x ", out)


def test_force_alone_is_refused(nas_):
    sentence = "--force belongs to --save or --search SEARCH.yml; give one of them too, or leave --force out"
    assert refused(nas_("scale", "efficientnet-b0", "--phi", "1", "--force"), sentence)


def test_a_table_in_a_file_is_cut_nowhere(nas_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = nas_("scale", "efficientnet-b0", "--macs", "2x", "--params", "5.5M")
    assert re.search(
        r" name +phi +depth +width +px +target +formula +realised +off: d w r *$", done.out, re.M
    )
    assert re.search(
        r"^ efficientnet-b0-2x-params5.5M .* 772M macs .* -\d\d\d \+\d+ \+\d\d % *$", done.out, re.M
    )


def test_of_two_limits_the_one_that_binds_is_told_and_what_is_off(nas_):
    done = nas_("scale", "efficientnet-b0", "--macs", "2x", "--params", "5.5M")
    assert "efficientnet-b0-2x-params5.5M: params bind, of the macs 62 % are used\n" in done.out
    line = r"-2x-params5.5M: off the direction by depth -\d+ %, width \+123 %, resolution \+\d+ %; whole layers, eights"
    assert re.search(line, done.out)
    assert "off the direction" not in nas_("scale", "efficientnet-b0", "--macs", "2x,4x").out


def test_scale_saves_its_members(nas_, tmp_path):
    done = nas_("scale", "mnasnet-a1", "--phi", "1", "--save")
    assert (
        "saved: ./mnasnet-a1-phi1.yml (give this path: by name documents are found in baselines/" in done.out
    )
    assert nas.load("./mnasnet-a1-phi1.yml").facts is not None
    assert refused(
        nas_("scale", "mnasnet-a1", "--phi", "1", "--save"), "mnasnet-a1-phi1.yml exists, and nothing"
    )
    done = nas_("scale", "mnasnet-a1", "--phi", "2,1", "--save")
    assert done.err.endswith("nothing is saved; move it away, or give --force to replace it\n")
    assert not (tmp_path / "mnasnet-a1-phi2.yml").exists()
    assert nas_("scale", "mnasnet-a1", "--phi", "1", "--save", "--force").code == 0
    (tmp_path / "baselines").mkdir()
    done = nas_("scale", "mnasnet-a1", "--phi", "1", "--save")
    assert done.out.endswith("saved: baselines/mnasnet-a1-phi1.yml\n")
    assert nas_("show", "mnasnet-a1-phi1").code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--phi", "x"], "--phi is 'x'; give numbers such as 0,1,2 ('x' is none)"),
        (["--phi", "0,,1"], "--phi is '0,,1'; give numbers"),
        (["--phi", ""], "--phi is ''; give numbers"),
        (["--phi", "nan"], "phi is nan; give a number from -100 to 100"),
        (["--phi", "101"], "phi is 101; give a number from -100 to 100"),
        (
            ["--phi", "-50"],
            "efficientnet-b0 at phi -50: no network is left at resolution 0; give 1 to 16384 pixels, with a larger phi",
        ),
        (
            ["--phi", "50"],
            "efficientnet-b0 at phi 50: depth is 9100.44; give a ratio over 0, up to 1000, with a sm",
        ),
        (["--official", "--phi", "8"], "phi is 8; the official table has 0, 1, 2, 3, 4, 5, 6 and 7"),
        (["--official", "--phi", "1.5"], "phi is 1.5; the official table has"),
        (
            ["--official", "--alpha", "1.2"],
            "--official is a fixed table; leave --alpha, --beta and --gamma out",
        ),
        (["--width", "2", "--phi", "1"], "--width and --phi exclude each other"),
        (["--resolution", "300", "--official"], "--resolution and --official exclude each other"),
        (
            ["--width", "2", "--depth", "2", "--gamma", "1.1"],
            "--width --depth and --gamma exclude each other",
        ),
        (
            ["--macs", "2x", "--width", "2"],
            "--macs and --width exclude each other; give the one or the other",
        ),
        (
            ["--macs", "2x", "--params", "9M", "--depth", "2", "--resolution", "300"],
            "--macs and --params and --depth --resolution exclude each other",
        ),
        (["--params", "2x", "--phi", "1"], "--params and --phi exclude each other"),
        (["--macs", "2x,2x"], "efficientnet-b0-2x: asked for twice; give every phi, or every target, once"),
        (["--macs", "800M,0.8G"], "efficientnet-b0-800M and efficientnet-b0-0.8G: asked for twice"),
        (["--phi", "1,2,1"], "efficientnet-b0-phi1: asked for twice"),
        (["--width", "0"], "width is 0; give a ratio over 0, up to 1000"),
        (["--depth", "-1"], "depth is -1; give a ratio over 0, up to 1000"),
        (["--depth", "nan"], "depth is nan; give a ratio"),
        (["--resolution", "0"], "no network is left at resolution 0; give 1 to 16384 pixels"),
        (["--phi", "1", "--alpha", "0"], "alpha is 0; give a ratio from 0.001 to 1000"),
    ],
)
def test_scale_names_the_mistake(nas_, words, sentence):
    assert refused(nas_("scale", "efficientnet-b0", *words), sentence)


def test_the_official_table_is_b0s_alone(nas_):
    done = nas_("scale", "mnasnet-a1", "--official")
    assert refused(
        done, "the official table is EfficientNet-B0's own; leave --official out to use the formula"
    )


# export


def test_export_goes_to_stdout_or_to_a_file(nas_, tmp_path):
    done = nas_("export", "efficientnet-b0", "--to", "timm")
    lines = done.out.splitlines()
    assert lines[-7] == "ds_r1_k3_s1_e1_c16_se0.25"
    assert lines[-1] == "ir_r1_k3_s1_e6_c320_se0.25"
    assert nas_("export", "efficientnet-b0", "--to", "timm", "--output", "b0.txt").out == ""
    assert (tmp_path / "b0.txt").read_text() == done.out
    assert nas_("export", "efficientnet-b0", "--to", "timm", "--output", "new/dir/b0.txt").code == 0
    assert (tmp_path / "new" / "dir" / "b0.txt").read_text() == done.out


def test_export_to_nni_is_json(nas_):
    choices = nas_("export", "digits", "--to", "nni").json
    assert choices["stage1.kernel"] == {"_type": "choice", "_value": [3, 5]}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["efficientnet-b0", "--to", "tim"], "--to is 'tim' (did you mean 'timm'?); allowed: timm, tpu, nni"),
        (["mnasnet", "--to", "timm"], "mnasnet is a search space; --to timm writes a baseline"),
        (["efficientnet-b0", "--to", "nni"], "efficientnet-b0 is a baseline; --to nni writes a search space"),
        (
            ["efficientnet-b0", "--to", "tpu", "--output", "/dev/null/where"],
            "/dev/null/where: cannot be written (/dev/null is no folder); choose another --output",
        ),
        (["nope", "--to", "tpu"], "there is no baseline 'nope'"),
        (["mnasnet", "--to", "pt2"], "mnasnet is a search space; --to pt2 writes a baseline"),
        (["nope", "--to", "pt2"], "there is no baseline 'nope'"),
        (
            ["efficientnet-b0", "--to", "timm", "--weights", "x"],
            "--weights belongs to --to onnx, pt2, safetensors, hub; timm is text without any: leave it out",
        ),
        (
            ["efficientnet-b0", "--to", "timm", "--output", "."],
            ".: is no regular file; give the name of a file",
        ),
    ],
)
def test_export_names_the_mistake(nas_, words, sentence):
    assert refused(nas_("export", *words), sentence)


def test_an_exported_text_is_not_replaced_unless_told(nas_, tmp_path):
    words = ("export", "mnasnet-a1", "--to", "timm", "--output", "a1.txt")
    (tmp_path / "a1.txt").write_text("mine")
    assert refused(nas_(*words), "a1.txt exists; choose another --output, or give --force to replace it")
    assert (tmp_path / "a1.txt").read_text() == "mine"
    assert nas_(*words, "--force").code == 0
    assert "ds_r1_k3_s1_e1_c16_noskip" in (tmp_path / "a1.txt").read_text()


# import of strings


def test_strings_go_out_and_come_back(nas_, tmp_path):
    nas_("export", "mobilenet-v1", "--to", "timm", "--output", "v1.txt")
    done = nas_("import", "--from", "timm-strings", "v1.txt")
    assert done.out == (
        "baseline mobilenet-v1: 5 stages, 4,231,976 parameters, 568,740,352 multiply-adds at 224 px "
        "(3 channels, 1000 classes, relu6)\nwritten: ./mobilenet-v1.yml (give this path: by name documents are "
        "found in baselines/ alone)\n"
    )
    assert nas.load(tmp_path / "mobilenet-v1.yml").architecture == nas.load("mobilenet-v1").architecture
    again = nas_("import", "--from", "timm-strings", "v1.txt")
    assert refused(again, "mobilenet-v1.yml exists; choose another --name, or give --force")
    given = nas_("import", "--from", "timm-strings", "v1.txt", "--output", "mobilenet-v1.yml")
    assert refused(given, "mobilenet-v1.yml exists; choose another --output, or give --force")
    assert (
        nas_(
            "import", "--from", "timm-strings", "v1.txt", "--force", "--name", "other", "--classes", "7"
        ).code
        == 0
    )
    assert nas.load(tmp_path / "other.yml").architecture.head.classes == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["timm-strings", "x.txt"],
            "x.txt: does not say resolution, in_chans, classes, activation, stem, head, which",
        ),
        (["tpu-strings", "no.txt"], "no.txt: cannot be read (No such file or directory)"),
        (["timm-string", "x.txt"], "--from is 'timm-string' (did you mean 'timm-strings' or"),
        (
            ["timm", "x.pth", "--stem", "8"],
            "--stem: for --from timm-strings, tpu-strings alone; leave them out",
        ),
    ],
)
def test_import_of_strings_names_the_mistake(nas_, tmp_path, words, sentence):
    (tmp_path / "x.txt").write_text("ir_r2_k3_s2_e6_c24")
    assert refused(nas_("import", "--from", *words), sentence)


# freeze and search: a run without NNI


def make_run(
    folder: Path, *states: str, command: str = "python -m nas.search.trial --data digits"
) -> Journal:
    """A run of digits, whose trials have ended in these states; the later, the better."""
    space = SearchSpace.load("digits")
    journal = Journal(folder / "runs" / "abc123" / FILE)
    settings = {"form": "soft", "target": space.target, "w": -0.07}
    journal.start(
        experiment="abc123", space="digits", sha256=space.sha256, seed=0, versions={}, command=command,
        document=space.document.model_dump(mode="json", exclude_defaults=True), classes=10, in_chans=1,
        strategy={"name": "random"}, concurrency=2, max_trials=len(states),
        trial={"reward": settings, "limits": {}, "seed": 0, "space": "digits", "sha256": space.sha256},
    )  # fmt: skip
    for index, state in enumerate(states):
        sample = space.sample(np.random.default_rng(index))
        arch = space.decode(sample)
        number = journal.asked(sample, arch.key, macs=arch.macs, params=arch.params, seen=0)
        facts = (
            {"accuracy": index / 10, "reward": index / 10} if state == "complete" else {"reason": "diverged"}
        )
        journal.told(number, state, **facts)
    return journal


def test_freeze_writes_the_winner(nas_, tmp_path):
    journal = make_run(tmp_path, "complete", "failed", "complete", "complete")
    done = nas_("freeze", "abc123")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("frozen: ./digits-abc123.yml (give this path: by name ")
    baseline = nas.load("./digits-abc123.yml")
    assert baseline.provenance is not None
    assert baseline.provenance.trial == 3
    best = journal.best()
    assert best is not None
    assert baseline.architecture == SearchSpace.load("digits").decode(best.sample)
    assert f"{baseline.architecture.macs:,} multiply-adds" in done.out


def test_freeze_takes_a_path_a_trial_and_a_name(nas_, tmp_path):
    make_run(tmp_path, "complete", "failed", "complete")
    done = nas_("freeze", "runs/abc123", "--trial", 0, "--name", "first", "--output", "out/first.yml")
    assert done.code == 0
    baseline = nas.load("out/first.yml")
    assert baseline.provenance is not None
    assert (baseline.name, baseline.provenance.trial) == ("first", 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["abc124"],
            "there is no run 'abc124' (no journal.jsonl in it); runs here: abc123; give an NNI experiment id",
        ),
        (["../abc123"], "there is no run '../abc123'"),
        ([""], "run '' is no experiment id"),
        (
            ["abc123", "--name", "taken"],
            "taken.yml exists; choose another --name, or give --force to replace it",
        ),
        (
            ["abc123", "--name", "../taken"],
            "../taken.yml, line 1: name is '../taken'; give up to 128 letters",
        ),
        (["abc123", "--output", "taken.yml"], "taken.yml exists; choose another --output, or give --force"),
        (["abc123", "--output", "taken.yml/x.yml"], "taken.yml/x.yml: cannot be written"),
    ],
)
def test_freeze_names_the_mistake(nas_, tmp_path, words, sentence):
    make_run(tmp_path, "complete", "failed")
    (tmp_path / "taken.yml").write_text("")
    assert refused(nas_("freeze", *words), sentence)


def test_freeze_refuses_a_trial_without_an_accuracy(nas_, tmp_path):
    journal = make_run(tmp_path, "complete", "failed")
    where = journal.path
    assert refused(
        nas_("freeze", "abc123", "--trial", 1), f"{where}: trial 1 is failed; trials that can be frozen: 0"
    )


def test_freeze_says_why_nothing_won(nas_, tmp_path):
    journal = make_run(tmp_path, "failed", "rejected")
    assert refused(
        nas_("freeze", "abc123"),
        f"{journal.path}: all 2 trials ended without an accuracy; the first, trial 0, failed: diverged",
    )


@pytest.fixture
def search_yml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search of digits; NNI itself must not be called."""
    nnictl = "nas.search.experiment.Experiment._nnictl"
    monkeypatch.setattr(nnictl, lambda *_: pytest.fail("nnictl was called"))
    config = yaml.safe_load((ROOT / "search.yml").read_text())
    config |= {"searchSpaceFile": str(ROOT / "search_spaces" / "digits.yml"), "maxTrialNumber": 3}
    (tmp_path / "search.yml").write_text(yaml.safe_dump(config))
    return tmp_path / "search.yml"


def test_search_names_a_port_in_use(nas_, search_yml):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for wanted in {port, port - 1} - {65535}:  # NNI wants the next one, too
            done = nas_("search", search_yml, "--port", wanted)
            assert refused(
                done, f"port {port} is in use (NNI wants --port and the next one); give another --port, such"
            )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.yml"], "nowhere.yml: cannot be read (No such file or directory); check the path"),
        (["search.yml", "--port", "80"], "--port is 80; give a port from 1024 to 65534"),
        (["search.yml", "--port", "65535"], "--port is 65535; give a port from 1024 to 65534"),
        (["search.yml", "--resume", "abc124"], "there is no run 'abc124'"),
        (["search.yml", "--name", "taken"], "taken.yml exists; choose another --name"),
        (["wrong.yml"], "wrong.yml, line 1: unknown key 'trials'"),
    ],
)
def test_search_names_the_mistake_before_nni_starts(nas_, search_yml, tmp_path, words, sentence):
    (tmp_path / "taken.yml").write_text("")
    (tmp_path / "wrong.yml").write_text("trials: 3\n")
    done = nas_("search", *words)
    assert done.code == 2
    assert done.err.startswith(f"nas: {sentence}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_resumed_search_that_has_all_its_trials_needs_no_nni(nas_, search_yml, tmp_path):
    make_run(tmp_path, "complete", "failed", "complete")
    done = nas_("search", search_yml, "--resume", "abc123")
    assert (done.code, done.err) == (0, "")
    assert "every trial of the search is in the journal" in done.out
    assert "2 complete, 1 failed; 2 distinct networks evaluated" in done.out
    assert "winner: trial 2, reward 0.2000, accuracy 0.2000" in done.out
    assert "digits-abc123-phi3" in done.out
    assert re.search(r"^baseline +digits-abc123\.yml$", done.out, re.MULTILINE)
    assert re.search(r"^journal +runs/abc123/journal\.jsonl$", done.out, re.MULTILINE)
    assert re.search(r"^TensorBoard +tensorboard --logdir runs$", done.out, re.MULTILINE)
    assert nas.load("./digits-abc123.yml").name == "digits-abc123"


def test_a_resumed_search_in_which_all_failed_says_why(nas_, search_yml, tmp_path):
    make_run(tmp_path, "failed", "failed", "failed")
    done = nas_("search", search_yml, "--resume", "abc123")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "all 3 trials ended without an accuracy; the first, trial 0, failed: diverged" in done.err
