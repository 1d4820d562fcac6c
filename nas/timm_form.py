"""timm's form of a network: its published name, the arguments of its EfficientNet, its config.json.

An EfficientNet is timm's by its block strings; a ResNet, MobileNetV3 or Xception where it is the very network that timm
has under a name.

>>> from nas.baseline import load
>>> timm_name(load("efficientnet-b0").architecture, "same"), timm_name(load("mnasnet-a1").architecture, "symmetric")
('tf_efficientnet_b0', 'semnasnet_100')
>>> not_in_timm(load("efficientnet-b0").architecture)
"""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from nas import baseline as baselines
from nas import catalog
from nas.architecture import Architecture
from nas.errors import NasError
from nas.export import block_strings, to_timm
from nas.exporting import Subject
from nas.packages import ORIGINS

FIXED = (1e-5, "symmetric")
"""Epsilon and padding of timm's ResNets and Xception, which take no others."""


def timm_name(arch: Architecture, padding: str) -> str | None:
    """timm's name of the network, whatever its resolution, classes and channels of images; None where it has none.

    That is: timm's strings of it are those of the baseline that `nas import` takes for this name.
    """
    found = _published().get(_timm_form(arch), [])
    tf = [model for model in found if model.startswith("tf_")]
    return next(iter(tf if tf and padding == "same" else found), None)


@cache
def _published() -> dict[Any, list[str]]:
    """What timm builds -> its names of it."""
    found: dict[Any, list[str]] = {}
    for model, name in ORIGINS["timm"].models.items():
        shipped = baselines.load(catalog.shipped("baselines") / f"{name}.yml").architecture
        if not_in_timm(shipped) is None:
            found.setdefault(_timm_form(shipped), []).append(model)
    return found


def _timm_form(arch: Architecture) -> Any:
    return tuple(block_strings(to_timm(arch))), arch.stem.channels, arch.head.channels, arch.activation


class Form(NamedTuple):
    """How timm has a network.

    Attributes:
        name: for `timm.create_model`; '' of an EfficientNet that it has no name for.
        strings: whether it is timm's EfficientNet, of block strings; else the network of the name.
        arguments: of `create_model`, beside the number of classes.
    """

    name: str
    strings: bool
    arguments: dict[str, Any]


def form_of(subject: Subject) -> Form | str:
    """timm's form of a network, or in a sentence why b0nas does not write one."""
    arch, facts = subject.net.architecture, subject.facts
    arguments: dict[str, Any] = {"in_chans": arch.stem.in_chans}
    both = arguments | {"bn_eps": facts.norm_eps, "pad_type": "same" if facts.padding == "same" else ""}
    why_not = not_in_timm(arch)
    if why_not is None:
        return Form(timm_name(arch, facts.padding) or "", True, both)
    found = [model for model, shipped in _others() if _alike(shipped, arch)]
    if not found:
        return why_not
    if "mobilenetv3" in found[0]:
        tf = [model for model in found if model.startswith("tf_")]
        return Form((tf if tf and facts.padding == "same" else found)[0], False, both)
    if (facts.norm_eps, facts.padding) != FIXED:
        return (
            f"timm's {found[0]} has epsilon {FIXED[0]:g} and {FIXED[1]} padding, and these weights {facts.norm_eps:g} "
            f"and {facts.padding}"
        )
    return Form(found[0], False, arguments)


@cache
def _others() -> list[tuple[str, Architecture]]:
    """timm's names of published networks that its EfficientNet has not."""
    folder = catalog.shipped("baselines")
    found = [
        (model, baselines.load(folder / f"{name}.yml")) for model, name in ORIGINS["timm"].models.items()
    ]
    return [(model, one.architecture) for model, one in found if not_in_timm(one.architecture)]


def _alike(shipped: Architecture, arch: Architecture) -> bool:
    """Whether networks are one but for resolution, classes and channels of the images."""
    with suppress(NasError):  # which a published network of fewer pixels than it halves is
        found = replace(shipped, resolution=arch.resolution).with_data(arch.head.classes, arch.stem.in_chans)
        return found.key == arch.key
    return False


def not_in_timm(arch: Architecture) -> str | None:
    """Stage and field that timm's EfficientNet does not have, in a sentence; None where it has all of them."""
    if arch.head.hidden is not None:
        return f"head.hidden is {arch.head.hidden}; timm's EfficientNet has no layer there"
    for number, stage in enumerate(arch.stages, 1):
        if stage.se and stage.se_kind != "standard":
            return f"stage{number}.se_kind is {stage.se_kind!r}; timm's EfficientNet has the standard one"
    try:
        to_timm(arch)
    except NasError as error:
        return str(error)
    return None


def efficientnet_of(subject: Subject) -> dict[str, Any]:
    """Arguments of `timm.models.EfficientNet`, with the strings that its blocks are decoded from.

    Raises:
        NasError: naming the stage and field that timm cannot express.
    """
    arch, facts = subject.net.architecture, subject.facts
    return {
        "arch_def": [[string] for string in block_strings(to_timm(arch))],
        "stem_size": arch.stem.channels,
        "num_features": arch.head.channels or 0,
        "in_chans": arch.stem.in_chans,
        "num_classes": arch.head.classes,
        "act_layer": arch.activation,
        "pad_type": "same" if facts.padding == "same" else "",
        "bn_eps": facts.norm_eps,
    }


def config_of(subject: Subject, form: Form | str) -> dict[str, Any]:
    """config.json in timm's form (`timm.models._hub.save_config_for_hf`, timm 1.0.31)."""
    facts, arch = subject.facts, subject.net.architecture
    name = "" if isinstance(form, str) else form.name
    config: dict[str, Any] = {
        "architecture": name or f"b0nas/{subject.baseline.name}",  # which timm never takes for one of its own
        "num_classes": subject.net.num_classes,
        "num_features": subject.net.num_features,
        "global_pool": "avg",
    }
    if len(facts.class_names) == subject.net.num_classes:
        config["label_names"] = list(facts.class_names)
    if not isinstance(form, str) and form.name:
        config["model_args"] = form.arguments
    pretrained: dict[str, Any] = {
        "input_size": list(subject.image),
        "fixed_input_size": False,
        "interpolation": facts.interpolation or "bilinear",
        "crop_pct": facts.crop_pct or 0.875,
        "crop_mode": facts.crop_mode or "center",
        "num_classes": subject.net.num_classes,
        "pool_size": [arch.heights()[-1]] * 2,
        "first_conv": "stem.conv" if isinstance(form, str) else "conv_stem",
        "classifier": "classifier",
    }
    if facts.mean and facts.std:
        pretrained |= {"mean": list(facts.mean), "std": list(facts.std)}
    return config | {"pretrained_cfg": pretrained}
