"""timm's form of a network: its published name, the arguments of its EfficientNet, its config.json.

>>> from nas.baseline import load
>>> timm_name(load("efficientnet-b0").architecture, "same"), timm_name(load("mnasnet-a1").architecture, "symmetric")
('tf_efficientnet_b0', 'semnasnet_100')
>>> not_in_timm(load("efficientnet-b0").architecture)
"""

from functools import cache
from typing import Any

from nas import baseline as baselines
from nas import catalog
from nas.architecture import Architecture
from nas.errors import NasError
from nas.export import block_strings, to_timm
from nas.exporting import Subject
from nas.packages import ORIGINS


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


def config_of(subject: Subject, name: str | None) -> dict[str, Any]:
    """config.json in timm's form (`timm.models._hub.save_config_for_hf`, timm 1.0.31)."""
    facts, arch = subject.facts, subject.net.architecture
    config: dict[str, Any] = {
        "architecture": name or f"b0nas/{subject.baseline.name}",  # which timm never takes for one of its own
        "num_classes": subject.net.num_classes,
        "num_features": subject.net.num_features,
        "global_pool": "avg",
    }
    if len(facts.class_names) == subject.net.num_classes:
        config["label_names"] = list(facts.class_names)
    if name:
        padding = "same" if facts.padding == "same" else ""
        config["model_args"] = {
            "in_chans": arch.stem.in_chans,
            "bn_eps": facts.norm_eps,
            "pad_type": padding,
        }
    pretrained: dict[str, Any] = {
        "input_size": list(subject.image),
        "fixed_input_size": False,
        "interpolation": facts.interpolation or "bilinear",
        "crop_pct": facts.crop_pct or 0.875,
        "crop_mode": facts.crop_mode or "center",
        "num_classes": subject.net.num_classes,
        "pool_size": [arch.heights()[-1]] * 2,
        "first_conv": "stem.conv" if not_in_timm(arch) else "conv_stem",
        "classifier": "classifier",
    }
    if facts.mean and facts.std:
        pretrained |= {"mean": list(facts.mean), "std": list(facts.std)}
    return config | {"pretrained_cfg": pretrained}
