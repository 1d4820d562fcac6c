"""What is exported runs elsewhere, with equal outputs and without b0nas; else nothing is written."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from safetensors.torch import load_file, save_file

import nas
from nas import NasError, catalog, exporting, graphs, model_folder
from nas import baseline as baselines
from nas.baseline import Baseline
from nas.documents import CertificateLine, GridLine, Provenance, RivalRow, ScalingLine
from nas.documents import Facts as BaselineFacts
from nas.exporting import Subject, export_model
from nas.importing import difference, import_weights
from nas.packages import ORIGINS
from nas.sources import Resizing
from nas.standalone import plain_model
from nas.timm_form import form_of, timm_name
from nas.weights import Facts, load_network, read_tensors, read_weights, save_weights

TINY = """
name: tiny
source: "a <b>test</b> | [x](https://example.org)"
resolution: 24
stem: {channels: 8, stride: 2, in_chans: 1}
stages:
  - {op: dsconv, kernel: 3, expand: 1, se: 0.25, skip: identity, channels: 8, layers: 2, stride: 1}
  - {op: mbconv, kernel: 5, expand: 6, se: 0.25, skip: none, channels: 16, layers: 2, stride: 2}
head: {channels: 32, classes: 1000}
activation: swish
"""
ODD = (
    TINY.replace("tiny", "odd")
    .replace("stride: 2, in_chans", "stride: 1, in_chans")
    .replace("skip: none", "skip: pool")
)
NAMES = ("a", "b | c", "<script>", "[d](e)", "f")
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in graphs.PACKAGES),
    reason="onnx, onnxscript and onnxruntime are not installed: make setup",
)


@pytest.fixture
def weights(in_folder):
    """A function: document -> its weights, 5 classes, SAME padding, batch norms at random; TINY and ODD are there."""
    for text in (TINY, ODD):
        Path(f"{yaml.safe_load(text)['name']}.yml").write_text(text)

    def make(document: str, **facts) -> Path:
        torch.manual_seed(1)
        baseline = nas.load(document)
        net = nas.build(baseline.architecture, 5, padding="same")
        for norm in (module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.2, 1)
            torch.nn.init.uniform_(norm.weight, 0.8, 1.2)
            torch.nn.init.normal_(norm.bias, 0, 0.2)
        said = {
            "padding": "same",
            "class_names": NAMES,
            "mean": (0.25,),
            "std": (0.5,),
            "data": "digits",
            **facts,
        }
        return save_weights(net, Path(f"{baseline.name}.safetensors"), Facts(baseline=baseline.name, **said))

    return make


def batch(document: str, size: int, channels: int | None = None):
    arch = nas.load(document).architecture
    generator = torch.Generator().manual_seed(7)
    return torch.randn(
        size, channels or arch.stem.in_chans, arch.resolution, arch.resolution, generator=generator
    )


def ours(document: str, path: Path, images):
    with torch.inference_mode():
        return load_network(nas.load(document).architecture, path)(images)


# Elsewhere


ELSEWHERE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nas", "nni"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
for name in ("nas", "nni"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} could be imported")

import importlib.util, torch
from safetensors.torch import load_file, save_file

outputs = {}
for kind in sys.argv[1:]:
    images = load_file(f"{kind}.images")["images"]
    if kind.endswith(".pt2"):
        net = torch.export.load(kind).module()
    else:
        spec = importlib.util.spec_from_file_location("model", f"{kind}/model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        net = module.load()
        assert not net.training
    with torch.inference_mode():
        outputs[kind] = net(images)
assert not any(name.split(".")[0] in ("nas", "nni") for name in sys.modules)
save_file(outputs, "outputs.safetensors")
"""


@pytest.mark.slow
def test_exports_run_without_b0nas_and_nni(weights):
    made = {"tiny": "safetensors", "odd": "hub", "odd.pt2": "pt2"}
    expected = {}
    for output, to in made.items():
        name = output.removesuffix(".pt2")
        path = weights(f"./{name}.yml")
        export_model(f"./{name}.yml", to, path, Path(output))
        images = batch(f"./{name}.yml", 5)  # neither of the sizes it was checked on
        save_file({"images": images}, f"{output}.images")
        expected[output] = ours(f"./{name}.yml", path, images)
    assert "efficientnet" in json.loads(Path("tiny/config.json").read_text())
    assert "network" in json.loads(Path("odd/config.json").read_text())
    run = [sys.executable, "-I", "-W", "ignore", "-c", ELSEWHERE, *made]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for output, found in load_file("outputs.safetensors").items():
        assert found.shape == (5, 5)
        assert difference(found, expected[output]) < 1e-5, output


def test_plain_torch_says_why(weights):
    lines = export_model("./odd.yml", "safetensors", weights("./odd.yml"))
    assert lines[1] == (
        "plain torch, in model.py, as b0nas does not write timm's form of it: stem.stride is 1; timm's notation has a "
        "stem of stride 2"
    )
    assert lines[-1] == "written: odd: config.json, model.py, model.safetensors, odd.yml"
    assert nas.load("odd/odd.yml") == nas.load("./odd.yml")


@given(st.data())
@settings(max_examples=40)
def test_plain_torch_builds_whatever_there_is(architectures, data):
    """Names and shapes of all tensors, and outputs, of networks far outside the spaces."""
    arch, padding = data.draw(architectures), data.draw(st.sampled_from(["symmetric", "same"]))
    torch.manual_seed(0)
    net = nas.build(arch, norm_eps=0.01, padding=padding).eval()
    facts = Facts(norm_eps=0.01, padding=padding)
    network = json.loads(
        json.dumps(model_folder.network_of(Subject(Baseline("odd", arch), net, facts, None)))
    )
    theirs = plain_model.build(network).eval()
    theirs.load_state_dict(net.state_dict())
    images = torch.randn(2, arch.stem.in_chans, arch.resolution, arch.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(images), net(images))


# timm


@pytest.mark.parametrize(
    ("name", "symmetric", "same"),
    [
        *((f"efficientnet-b{n}", f"efficientnet_b{n}", f"tf_efficientnet_b{n}") for n in range(8)),
        *((f"efficientnet-lite{n}", f"efficientnet_lite{n}", f"tf_efficientnet_lite{n}") for n in range(5)),
        ("mnasnet-a1", "semnasnet_100", "semnasnet_100"),
        ("mnasnet-b1", "mnasnet_100", "mnasnet_100"),
        ("mobilenet-v1", "mobilenetv1_100", "mobilenetv1_100"),
        ("mobilenet-v2", "mobilenetv2_100", "mobilenetv2_100"),
        ("mnasnet-b1-1.3", None, None),
    ],
)
def test_published_networks_have_timms_names(name, symmetric, same):
    arch = nas.load(name).architecture
    assert (timm_name(arch, "symmetric"), timm_name(arch, "same")) == (symmetric, same)
    assert timm_name(replace(arch, resolution=64).with_data(7, 1), "symmetric") == symmetric
    changed = replace(arch, stages=(replace(arch.stages[0], kernel=7), *arch.stages[1:]))
    assert timm_name(changed, "symmetric") is None
    assert timm_name(replace(arch, head=replace(arch.head, channels=8)), "symmetric") is None


def test_which_baselines_timm_creates():
    """The table in docs/export.md, of weights with the epsilon that imported ones have."""
    forms = {}
    for name in sorted(path.stem for path in catalog.shipped("baselines").glob("*.yml")):
        baseline = nas.load(name)
        if baseline.provenance is not None:  # found here
            continue
        with torch.device("meta"):
            net = nas.build(baseline.architecture)
        forms[name] = form_of(Subject(baseline, net, Facts(norm_eps=1e-5), None))
    plain = [name for name, form in forms.items() if isinstance(form, str)]
    assert plain == [
        *(f"shufflenet-v2-{width}" for width in ("0.5", "1.0", "1.5", "2.0")), "squeezenet-1.0", "squeezenet-1.1",
    ]  # fmt: skip
    assert [n for n, form in forms.items() if not isinstance(form, str) and not form.name] == [
        "mnasnet-b1-1.3"
    ]
    others = {n: form.name for n, form in forms.items() if not isinstance(form, str) and not form.strings}
    assert others == {
        "mobilenet-v3-large": "mobilenetv3_large_100", "mobilenet-v3-small": "mobilenetv3_small_100",
        "resnet-18": "resnet18", "resnet-34": "resnet34", "resnet-50": "resnet50", "xception": "legacy_xception",
    }  # fmt: skip


def test_timm_creates_a_published_network_from_the_folder(weights):
    """Whatever the baseline is called, with its classes, epsilon and padding; and nas import reads it back."""
    import timm

    arch = nas.load("mnasnet-b1-0.5").architecture
    baselines.save(Baseline("mine", replace(arch, resolution=40)), Path("mine.yml"))
    path = weights("./mine.yml", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    lines = export_model("./mine.yml", "safetensors", path)
    assert lines[-2] == 'timm knows it as mnasnet_050: timm.create_model("local-dir:mine", pretrained=True)'
    net = timm.create_model("local-dir:mine", pretrained=True).eval()
    images = batch("./mine.yml", 4)
    expected = ours("./mine.yml", path, images)
    with torch.inference_mode():
        assert difference(net(images), expected) < 1e-5
    assert tuple(net.pretrained_cfg["mean"]) == (0.1, 0.2, 0.3)
    assert net.pretrained_cfg["input_size"] == (3, 40, 40)
    assert list(net.pretrained_cfg["label_names"]) == list(NAMES)

    done = import_weights("timm", "mine/model.safetensors", Path("back.safetensors"))
    assert (done.baseline, done.facts.norm_eps, done.facts.padding) == ("mnasnet-b1-0.5", 1e-3, "same")
    assert (done.facts.class_names, done.facts.mean) == (NAMES, (0.1, 0.2, 0.3))
    assert difference(ours("mnasnet-b1-0.5", Path("back.safetensors"), images), expected) < 1e-5


def test_exported_weights_are_weights_again(weights):
    """With the epsilon, padding, statistics and names that the network was exported with."""
    Path("small.yml").write_text(ODD.replace("odd", "small"))
    path = weights("./small.yml", mean=(0.1,), std=(0.2,), accuracy=0.75, scored="test")
    export_model("./small.yml", "safetensors", path)
    images = batch("./small.yml", 4)
    again = Path("small/model.safetensors")
    assert torch.equal(ours("./small.yml", again, images), ours("./small.yml", path, images))
    assert read_weights(again)[1] == read_weights(path)[1]
    export_model("./small.yml", "safetensors", again, Path("again"))
    assert Path("again/model.safetensors").read_bytes() == again.read_bytes()


def test_of_a_resnet_too(in_folder):
    arch = replace(nas.load("resnet-18").architecture, resolution=40)
    baselines.save(Baseline("small", arch), Path("small.yml"))
    torch.manual_seed(0)
    net = nas.build(arch, 3, norm_eps=1e-5, padding="same")
    said = Facts(baseline="small", norm_eps=1e-5, padding="same", class_names=("a", "b", "c"))
    path = save_weights(net, Path("small.safetensors"), said)
    export_model("./small.yml", "safetensors", path)
    images = batch("./small.yml", 2)
    found = ours("./small.yml", Path("small/model.safetensors"), images)
    assert torch.equal(found, ours("./small.yml", path, images))
    tensors, metadata = read_tensors(Path("small/model.safetensors"))
    assert metadata["format"] == "pt"  # which other programs look for
    save_file(tensors, "bad.safetensors", metadata | {"norm_eps": "0"})
    with pytest.raises(NasError, match=r"bad.safetensors: says that norm_eps is '0', which it cannot be"):
        read_weights(Path("bad.safetensors"))


@pytest.mark.parametrize(
    ("name", "timms", "eps", "padding"),
    [
        ("resnet-18", "resnet18", 1e-5, "symmetric"),
        pytest.param("resnet-34", "resnet34", 1e-5, "symmetric", marks=pytest.mark.slow),
        pytest.param("resnet-50", "resnet50", 1e-5, "symmetric", marks=pytest.mark.slow),
        ("mobilenet-v3-small", "mobilenetv3_small_100", 1e-5, "symmetric"),
        ("mobilenet-v3-large", "tf_mobilenetv3_large_100", 1e-3, "same"),
        pytest.param("xception", "legacy_xception", 1e-5, "symmetric", marks=pytest.mark.slow),
    ],
)
def test_timm_creates_other_published_networks_too(in_folder, lively, name, timms, eps, padding):
    """By its own names of tensors; and its folder is one of weights, and one that nas import takes."""
    import timm

    arch = replace(nas.load(name).architecture, resolution=75)
    baselines.save(Baseline("mine", arch), Path("mine.yml"))
    torch.manual_seed(0)
    net = lively(nas.build(arch, 3, norm_eps=eps, padding=padding), 75)
    said = Facts(baseline="mine", norm_eps=eps, padding=padding, class_names=("a", "b", "c"))
    path = save_weights(net, Path("mine.safetensors"), said)
    lines = export_model("./mine.yml", "hub", path)
    assert f'timm knows it as {timms}: timm.create_model("local-dir:mine", pretrained=True)' in lines
    assert "import timm" in Path("mine/README.md").read_text()
    images = batch("./mine.yml", 2)
    expected = ours("./mine.yml", path, images)
    found = timm.create_model("local-dir:mine", pretrained=True).eval()
    with torch.inference_mode():
        assert difference(found(images), expected) < 1e-4
    assert found.state_dict().keys() == timm.create_model(timms).state_dict().keys()
    grey = timm.create_model("local-dir:mine", pretrained=True, num_classes=5, in_chans=1)  # to be fine-tuned
    assert grey(torch.zeros(2, 1, 75, 75)).shape == (2, 5)
    again = Path("mine/model.safetensors")
    assert torch.equal(ours("./mine.yml", again, images), expected)
    assert read_weights(again)[1] == read_weights(path)[1]
    assert import_weights("timm", str(again), Path("back.safetensors")).baseline == name


@pytest.mark.parametrize(("eps", "padding"), [(1e-3, "symmetric"), (1e-5, "same")])
def test_a_resnet_of_another_epsilon_is_none_of_timms(in_folder, eps, padding):
    arch = replace(nas.load("resnet-18").architecture, resolution=40)
    baselines.save(Baseline("small", arch), Path("small.yml"))
    net = nas.build(arch, 3, norm_eps=eps, padding=padding)
    path = save_weights(net, Path("small.safetensors"), Facts(norm_eps=eps, padding=padding))
    lines = export_model("./small.yml", "safetensors", path)
    assert lines[1] == (
        "plain torch, in model.py, as b0nas does not write timm's form of it: timm's resnet18 has epsilon 1e-05 and "
        f"symmetric padding, and these weights {eps:g} and {padding}"
    )


def test_folders_of_block_strings_are_weights_again(weights):
    path = weights("./tiny.yml")
    export_model("./tiny.yml", "safetensors", path)
    again, images = Path("tiny/model.safetensors"), batch("./tiny.yml", 3)
    assert torch.equal(ours("./tiny.yml", again, images), ours("./tiny.yml", path, images))
    tensors, metadata = read_tensors(again)
    save_file(tensors, "foreign.safetensors", {"format": "pt"})
    with pytest.raises(
        NasError, match=r"^foreign.safetensors: its tensors bear timm's names; give what nas import"
    ):
        read_weights(Path("foreign.safetensors"))
    names = json.loads(metadata["names"])
    for bad in ({}, [], dict.fromkeys(names, "x"), names | {"more": "y"}):
        save_file(tensors, "bad.safetensors", metadata | {"names": json.dumps(bad)})
        with pytest.raises(
            NasError, match=r"^bad.safetensors: says of other tensors than it has what they are cal"
        ):
            read_weights(Path("bad.safetensors"))


def test_a_name_alone_is_no_architecture(weights):
    """A document called as timm's network is, of other stages, is not given its name, and timm does not take it."""
    import timm

    Path("efficientnet_b0.yml").write_text(TINY.replace("tiny", "efficientnet_b0"))
    export_model("./efficientnet_b0.yml", "safetensors", weights("./efficientnet_b0.yml"))
    config = json.loads(Path("efficientnet_b0/config.json").read_text())
    assert config["architecture"] == "b0nas/efficientnet_b0"
    assert "model_args" not in config
    with pytest.raises(RuntimeError, match=r"Unknown model \(b0nas/efficientnet_b0\)"):
        timm.create_model("local-dir:efficientnet_b0", pretrained=True)


def test_without_timm_what_timm_has_is_refused_and_the_rest_written(weights, monkeypatch):
    monkeypatch.setattr(model_folder, "find_spec", lambda name: None)
    with pytest.raises(
        NasError,
        match=r"--to hub needs timm, which has .*; pip install -e '\.\[timm\]' in the checkout, or pip install timm",
    ):
        export_model("./tiny.yml", "hub")
    assert not Path("tiny").exists()
    assert export_model("./odd.yml", "safetensors")[-1].startswith("written: odd: ")


# One file


def test_a_graph_says_what_is_known_and_no_more(weights):
    bare = weights("./tiny.yml", class_names=(), mean=(), std=(), data="")
    assert graphs.facts_of(exporting.subject_of("./tiny.yml", bare)) == {
        "baseline": "tiny", "weights": "tiny.safetensors"
    }  # fmt: skip
    known = {"data": "digits", "accuracy": 0.0, "scored": "test", "mean": (0.25,), "std": (0.5,), "crop_pct": 0.9,
             "crop_mode": "center", "interpolation": "bicubic", "class_names": NAMES, "source": "x"}  # fmt: skip
    said = graphs.facts_of(exporting.subject_of("./tiny.yml", weights("./tiny.yml", **known)))
    assert json.loads(json.dumps(said)) == json.loads(json.dumps(known)) | {
        "baseline": "tiny", "weights": "tiny.safetensors"
    }  # fmt: skip


def test_weights_that_say_nothing_of_epsilon_and_padding_are_told_to_be_guessed(weights):
    path = weights("./tiny.yml")
    assert not any(line.startswith("note:") for line in export_model("./tiny.yml", "pt2", path))
    save_file(load_file(path), "bare.safetensors")
    lines = export_model("./tiny.yml", "pt2", Path("bare.safetensors"), force=True)
    assert (
        "note: bare.safetensors does not say with which epsilon and padding it was trained: taken as 0.001"
        in lines[1]
    )


@needs_onnx
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own code
def test_onnx_takes_batches_of_any_size(weights):
    import onnx
    import onnxruntime

    path = weights("./odd.yml")
    lines = export_model("./odd.yml", "onnx", path)
    assert lines[0] == "odd: 5 classes, 1 x 24 x 24 pixels; weights of odd.safetensors"
    assert lines[1].startswith("largest difference of outputs ")
    assert lines[1].endswith("on batches of 1 and 3 random images, by onnxruntime")
    assert sorted(p.name for p in Path().iterdir()) == ["odd.onnx", "odd.safetensors", "odd.yml", "tiny.yml"]
    session = onnxruntime.InferenceSession("odd.onnx", providers=["CPUExecutionProvider"])
    assert [part.shape[0] for part in (*session.get_inputs(), *session.get_outputs())] == ["batch"] * 2
    for size in (1, 2, 6):
        images = batch("./odd.yml", size)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(found), ours("./odd.yml", path, images), rtol=1e-4, atol=1e-4
        )
    said = {entry.key: entry.value for entry in onnx.load("odd.onnx").metadata_props}
    assert (json.loads(said["class_names"]), json.loads(said["mean"])) == (list(NAMES), [0.25])
    assert b"network.py" not in Path("odd.onnx").read_bytes()  # nor in which folder that lies


def test_onnx_without_its_packages_is_one_sentence(weights, monkeypatch):
    monkeypatch.setattr(graphs, "find_spec", lambda name: None)
    with pytest.raises(
        NasError,
        match=r"--to onnx needs onnx, onnxscript, onnxruntime, .*; pip install -e '\.\[onnx\]' in the chec",
    ):
        export_model("./tiny.yml", "onnx")


def test_an_old_torch_is_one_sentence(weights, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(NasError, match=r"--to pt2 needs torch 2.6 or later, .*; found 2.5.1\+cpu: update it"):
        export_model("./tiny.yml", "pt2")


def test_fresh_weights_are_said_to_be_untrained(weights):
    for output in ("one", "two"):
        lines = export_model("./tiny.yml", "hub", output=Path(output))
        assert lines[0].endswith("; no --weights: freshly initialised (seed 0), untrained")
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()
    assert "**These weights are untrained**" in Path("one/README.md").read_text()


def test_fresh_networks_have_batch_norms_of_random_images(in_folder):
    """As identities they let EfficientNetV2-S's outputs grow to hundreds here, and to where no two programs agree."""
    v2 = nas.load("efficientnet-v2-s").architecture
    baselines.save(Baseline("small", replace(v2, resolution=128)), Path("small.yml"))
    before = torch.random.get_rng_state()
    subject = exporting.subject_of("./small.yml", None)
    assert torch.equal(torch.random.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    norms = [module for module in subject.net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not any(norm.training or norm.momentum == 1 for norm in norms)
    with torch.inference_mode():
        largest = subject.net(torch.randn(4, 3, 128, 128, generator=generator)).abs().max()
    assert 0.1 < largest < 10


# Nothing is written


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def test_other_outputs_are_not_written(weights, monkeypatch):
    path = weights("./tiny.yml")
    before = files()
    monkeypatch.setattr(graphs, "pt2_of", lambda subject: (b"...", lambda images: subject.net(images) + 0.01))
    with pytest.raises(
        NasError, match=r"the outputs of the pt2 file differ from the network's by 0.01, over 0.0001 of"
    ):
        export_model("./tiny.yml", "pt2", path)
    renamed = model_folder._renamed

    def other(tensors, theirs):
        found = renamed(tensors, theirs)
        return found | {"bn1.weight": found["bn1.weight"] * 1.1}

    monkeypatch.setattr(model_folder, "_renamed", other)
    with pytest.raises(NasError, match=r"the outputs of model.py differ from the network's by "):
        export_model("./tiny.yml", "hub", path)
    assert files() == before


def test_weights_without_numbers_are_not_written(weights):
    tensors = load_file(weights("./tiny.yml"))
    tensors["classifier.bias"][0] = float("nan")
    save_file(tensors, "nan.safetensors")
    with pytest.raises(NasError, match=r"nan.safetensors: the network's outputs are no finite numbers"):
        export_model("./tiny.yml", "safetensors", Path("nan.safetensors"))
    assert not Path("tiny").exists()


@pytest.mark.parametrize("to", ["safetensors", "pt2"])
def test_a_full_disk_leaves_nothing(weights, monkeypatch, to):
    monkeypatch.setattr(graphs, "pt2_of", lambda subject: (b"...", subject.net))
    before = files()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NasError, match=r"cannot be written .No space left on device.; free some space"):
        export_model("./tiny.yml", to)
    assert files() == before


@pytest.mark.parametrize(
    ("document", "to", "output", "sentence"),
    [
        ("./odd.yml", "safetensors", None, r"tiny.safetensors: is of another architecture \("),
        ("./tiny.yml", "safetensors", "full", r"full: the folder is not empty; choose another --output, or"),
        ("./tiny.yml", "hub", "tiny.yml", r"tiny.yml: is no folder of its own, which hub writes; choose"),
        ("./tiny.yml", "pt2", "old.pt2", r"old.pt2 exists; choose another --output, or give --force to replace it"),
        ("./tiny.yml", "pt2", "tiny.pth", r"--output is tiny.pth; give a name that ends in .pt2, which is what"),
        ("./tiny.yml", "pt2", "folder.pt2", r"folder.pt2: is no regular file; give the name of a file to write"),
        ("./tiny.yml", "hub", "/dev/null/f", r"^/dev/null/f: cannot be written \(/dev/null is no folder\); choose ano"),
        ("./tiny.yml", "pt2", "/dev/null/f.pt2", r"^/dev/null/f.pt2: cannot be written \(/dev/null is no folder\); c"),
        ("efficientnet-b9", "pt2", None, r"there is no baseline 'efficientnet-b9'"),
    ],
)  # fmt: skip
def test_mistakes_overwrite_nothing(weights, document, to, output, sentence):
    path = weights("./tiny.yml")
    for name in ("full", "folder.pt2"):
        Path(name).mkdir()
    for name in ("full/README.md", "old.pt2"):
        Path(name).write_text("mine")
    before = files()
    with pytest.raises(NasError, match=sentence):
        export_model(document, to, path, Path(output) if output else None)
    assert files() == before
    assert Path("full/README.md").read_text() == Path("old.pt2").read_text() == "mine"


def test_force_replaces_the_files_of_an_export_and_leaves_others(weights):
    Path("full").mkdir()
    for name in ("notes.txt", "model.py"):
        Path("full", name).write_text("mine")
    export_model("./tiny.yml", "safetensors", None, Path("full"), force=True)
    assert Path("full/notes.txt").read_text() == "mine"
    assert "EfficientNet" in Path("full/model.py").read_text()


def test_force_takes_away_what_an_export_wrote_and_nothing_else(weights):
    """A page and a document of other weights go; a search.yml stays, and a page that somebody wrote or edited."""
    out = Path("out")
    export_model("./tiny.yml", "hub", None, out)
    (out / "search.yml").write_text("mine")
    export_model("./odd.yml", "safetensors", None, out, force=True)
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", "model.py", "model.safetensors", "odd.yml", "search.yml"
    ]  # fmt: skip
    assert (out / "search.yml").read_text() == "mine"

    export_model("./odd.yml", "hub", None, out, force=True)
    edited = (out / "README.md").read_text() + "Ours, of spring.\n"
    (out / "README.md").write_text(edited)
    lines = export_model("./tiny.yml", "safetensors", None, out, force=True)
    assert "left as it is, for it was changed since it was exported: out/README.md" in lines
    assert (out / "README.md").read_text() == edited
    assert not (out / "odd.yml").exists()


@pytest.mark.parametrize("name", ["README.md", "tiny.yml"])
@pytest.mark.parametrize("exported", [False, True])
def test_force_does_not_replace_what_somebody_wrote(weights, name, exported):
    Path("out").mkdir()
    if exported:
        export_model("./tiny.yml", "hub", None, Path("out"))
    Path("out", name).write_text("mine")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    with pytest.raises(
        NasError, match=f"out/{name}: is not as an export wrote it, and would be replaced; move it"
    ):
        export_model("./tiny.yml", "hub", None, Path("out"), force=True)
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_the_new_files_are_in_place_before_old_ones_go(weights, monkeypatch):
    export_model("./tiny.yml", "hub", None, Path("out"))

    replace_file = Path.replace

    def full(self, target):
        if Path(target).parent.name == "out":
            raise OSError(28, "No space left on device")
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", full)
    before = files()
    with pytest.raises(NasError, match="No space left on device"):
        export_model("./odd.yml", "safetensors", None, Path("out"), force=True)
    assert files() == before


@pytest.mark.parametrize("record", ["[]", '{"b0nas": 3}', '{"b0nas": {"files": [1]}}',
                                    '{"b0nas": {"files": {"../tiny.yml": "x", "README.md": 3}}}'])  # fmt: skip
def test_a_record_of_anything_else_takes_nothing_away(weights, record):
    Path("out").mkdir()
    Path("out/config.json").write_text(record)
    Path("out/notes.md").write_text("mine")
    export_model("./odd.yml", "hub", None, Path("out"), force=True)
    assert Path("tiny.yml").exists()
    assert Path("out/notes.md").read_text() == "mine"


# The page


def test_the_page_says_what_is_known_and_no_more(weights):
    row = RivalRow(rival="runner-up", macs=1000, params=10, accuracy=0.9, n=3, margin=0.02, low=-0.01, high=0.05,
                   verdict="not distinguishable")  # fmt: skip
    certificate = CertificateLine(
        data="digits", recipe="cifar", images=359, accuracy=0.92, sd=0.01, n=3, level=0.95, finalists=4,
        random_networks=5, choosing_seeds=[0], judging_seeds=[1, 2, 3], table=[row],
    )  # fmt: skip
    tiny = nas.load("./tiny.yml")
    facts = BaselineFacts(params=tiny.architecture.params, macs=tiny.architecture.macs, search_accuracy=0.8)
    made = replace(
        tiny,
        name="made",
        facts=facts,
        certificate=certificate,
        provenance=Provenance(space="digits", trial=7),
    )
    baselines.save(made, Path("made.yml"))
    path = weights("./made.yml", recipe="cifar, 10 epochs", accuracy=0.97, scored="val", epochs=10,
                   **Resizing(1.0, "squash", "bilinear")._asdict())  # fmt: skip
    lines = export_model("./made.yml", "hub", path)
    assert lines[-2:] == [
        "license: none; README.md leaves it to you",
        "nothing was uploaded; to do that: hf upload USER/made made",
    ]
    page = Path("made/README.md").read_text()
    _, front, body = page.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["library_name"] == "pytorch"  # as timm has no name for it
    assert "timm" in front["tags"]
    assert "license" not in front
    for text in (
        "| accuracy | 0.9700 on val |", "| recipe | cifar, 10 epochs |", "| provenance | trial | 7 |",
        "| facts | search_accuracy | 0.8 |", "mean test accuracy 0.9200, standard deviation 0.0100",
        "| runner-up | 1,000 | 0.9000 | +2.00 | -1.00 to +5.00 | not distinguishable |",
        "mean 0.25; standard deviation 0.5.", "resized whole to 24 x 24 (bilinear)",
    ):  # fmt: skip
        assert text in body, text
    shown = (
        MarkdownIt("commonmark").enable("table").render(body)
    )  # in which a source and names of classes are text
    assert "a &lt;b&gt;test&lt;/b&gt; | [x](https://example.org)" in shown
    assert "[d](e)" in shown
    assert not re.search("<(a|b|script|img)[ >]", shown)
    config = json.loads(Path("made/config.json").read_text())
    assert config["label_names"] == list(NAMES)
    form = config["pretrained_cfg"]
    assert (form["crop_pct"], form["crop_mode"], form["interpolation"]) == (1.0, "squash", "bilinear")


@pytest.mark.parametrize("to", ["safetensors", "hub", "pt2"])
def test_no_export_names_a_folder_of_this_machine(weights, to):
    """Neither the page nor the document, nor what the weights say of themselves."""
    tiny = nas.load("./tiny.yml")
    data = "folder:/home/alice/clients/birds"
    facts = BaselineFacts(params=tiny.architecture.params, macs=tiny.architecture.macs, data=data)
    trial = f"python -m nas.search.trial --data {data} --data-dir=/home/alice/sets --epochs 3"
    search = GridLine(step=0.05, tolerance=0.1, multiple=2, command=trial)
    certificate = CertificateLine(
        data=data, recipe="cifar", images=359, n=3, level=0.95, finalists=4, random_networks=5,
        choosing_seeds=[0], judging_seeds=[1, 2, 3],
    )  # fmt: skip
    made = replace(tiny, name="made", facts=facts, certificate=certificate,
                   scaling=ScalingLine(alpha=1.2, beta=1.1, gamma=1.15, search=search))  # fmt: skip
    baselines.save(made, Path("made.yml"))
    path = weights("./made.yml", data=data)
    export_model("./made.yml", to, path, Path(f"out.{to}"))
    out = Path(f"out.{to}")
    written = [file.read_bytes() for file in (out.iterdir() if out.is_dir() else [out])]
    assert any(b"folder:birds" in content for content in written)
    assert not any(b"alice" in content or b"network.py" in content for content in written)
    if to != "pt2":
        again = nas.load("out." + to + "/made.yml")
        assert again.facts is not None
        assert again.facts.data == "folder:birds"
        assert again.scaling is not None
        assert again.scaling.search is not None
        command = "python -m nas.search.trial --data folder:birds --data-dir=sets --epochs 3"
        assert again.scaling.search.command == command


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "made 24 x 24: how, the weights do not say"),
        (
            Resizing(0.75, "center", "bicubic")._asdict(),
            "resized to 32 on the shorter side (bicubic), of which the centre",
        ),
    ],
)
def test_the_page_says_how_images_were_resized_as_the_weights_do(weights, said, sentence):
    export_model("./tiny.yml", "hub", weights("./tiny.yml", **said))
    assert sentence in Path("tiny/README.md").read_text()


def test_a_hub_reads_the_page(weights):
    from huggingface_hub import ModelCard

    export_model("./tiny.yml", "hub")
    said = ModelCard.load("tiny/README.md").data.to_dict()
    assert (said["library_name"], said["pipeline_tag"]) == ("pytorch", "image-classification")
    assert "license" not in said


def test_every_published_name_is_a_baseline_here():
    """So that `timm_name` is no empty promise: names of timm are those of shipped documents."""
    assert set(ORIGINS["timm"].models.values()) <= {
        p.stem for p in catalog.shipped("baselines").glob("*.yml")
    }
    assert exporting.BATCHES == (1, 3)
