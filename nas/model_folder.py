"""A folder with which the network runs without b0nas: model.safetensors, config.json, model.py, and its document.

>>> from nas.exporting import subject_of
>>> network = network_of(subject_of("mnasnet-b1-0.5", None))
>>> network["stages"][0][0]["shortcut"], network["stages"][0][0]["layers"][0]["kind"]
('none', 'Conv')

Where timm has the network (`nas.timm_form`), its model.py builds timm's own, and the weights bear timm's names; else
model.py is plain torch. Both are files of `nas.standalone`, copied.
"""

import inspect
import json
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from nas import baseline as baselines
from nas.earlier_export import CARD, CONFIG, PROGRAM, WEIGHTS, check_replaced, forget, record_of, written
from nas.errors import NasError, listed
from nas.exporting import Subject, compared
from nas.files import write_bytes_whole
from nas.model_card import model_card
from nas.packages import ORIGINS
from nas.specs import Branches, LayerSpec
from nas.timm_form import Form, config_of, efficientnet_of, form_of
from nas.weights import FORMAT, metadata_of, write_tensors


def write_folder(subject: Subject, to: str, path: Path) -> list[str]:
    """Writes the folder PATH, once the network in it was built by its own model.py; the lines to print.

    Raises:
        NasError: where timm is needed and missing, outputs differ, or something cannot be written.
    """
    form = form_of(subject)
    if not isinstance(form, str) and find_spec("timm") is None:
        raise NasError(
            f"--to {to} needs timm, which has this network and checks it; pip install -e '.[timm]' in the checkout, or "
            "pip install timm"
        )
    files: list[str] = [
        CONFIG,
        PROGRAM,
        WEIGHTS,
        f"{subject.baseline.name}.yml",
        *([CARD] if to == "hub" else []),
    ]
    files.sort()
    before = written(path)
    check_replaced(path, files, before)
    whole = path.resolve()
    partial = whole.with_name(f".{whole.name}.partial")
    try:
        lines = _fill(partial, subject, form, to)
        path.mkdir(parents=True, exist_ok=True)
        for file in files:
            (partial / file).replace(path / file)
        lines += forget(path, before, files)
    except OSError as error:
        raise NasError(
            f"{path}: cannot be written ({error.strerror}); free some space, or choose another --output"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not isinstance(form, str) and form.name:
        lines.append(f'timm knows it as {form.name}: timm.create_model("local-dir:{path}", pretrained=True)')
    lines.append(f"written: {path}: {listed(files)}")
    if to == "hub":
        lines += [
            "license: none; README.md leaves it to you",
            f"nothing was uploaded; to do that: hf upload USER/{subject.baseline.name} {path}",
        ]
    return lines


def _fill(folder: Path, subject: Subject, form: Form | str, to: str) -> list[str]:
    """Writes everything into a folder of our own, and compares what it loads as; the lines to print."""
    shutil.rmtree(folder, ignore_errors=True)
    config = config_of(subject, form)
    tensors = dict(subject.net.state_dict())
    said = {"format": "pt", "b0nas": FORMAT} | metadata_of(subject.net, subject.facts)
    if isinstance(form, str):
        from nas.standalone import plain_model as program

        name, words = "", f"plain torch, in model.py, as b0nas does not write timm's form of it: {form}"
        config |= {"network": network_of(subject)}
    else:
        from nas.standalone import timm_model as program

        name, words = form.name, f"timm's {'EfficientNet' if form.strings else form.name}, in model.py"
        if form.strings:
            config |= {"efficientnet": efficientnet_of(subject)}
            theirs = program.build(config["efficientnet"])
        else:
            theirs = program.named(config)
            config["num_features"] = theirs.num_features
            config["pretrained_cfg"] |= {
                key: theirs.pretrained_cfg[key] for key in ("first_conv", "classifier")
            }
        renamed = _renamed(tensors, ORIGINS["timm"].ordered(theirs.state_dict()))
        said["names"] = json.dumps(dict(zip(renamed, tensors, strict=True)))
        tensors = renamed
    write_tensors(folder / WEIGHTS, tensors, said)
    texts = {
        PROGRAM: inspect.getsource(program),
        f"{subject.baseline.name}.yml": baselines.dump(subject.baseline),
    }
    if to == "hub":
        texts[CARD] = model_card(subject, config, timm=not isinstance(form, str), name=name)
    files = {file: text.encode(errors="backslashreplace") for file, text in texts.items()}
    files[CONFIG] = _json(config | record_of(files)).encode()
    for file, content in files.items():
        write_bytes_whole(folder / file, content, "free some space, or choose another --output")
    lines = [words, compared(subject, _loaded(folder / PROGRAM).load(), PROGRAM)]
    if name:
        import timm

        compared(subject, timm.create_model(f"local-dir:{folder}", pretrained=True).eval(), f"timm's {name}")
    return lines


def network_of(subject: Subject) -> dict[str, Any]:
    """The layers, as `nas.standalone.plain_model` reads them."""
    arch = subject.net.architecture
    stages: list[list[dict[str, Any]]] = [[] for _ in arch.stages]
    for number, block in arch.blocks():
        found: dict[str, Any] = {"shortcut": block.shortcut, "layers": _layers(block.layers)}
        if block.projection:
            found["projection"] = _layers(block.projection)
        if block.after:
            found["after"] = _layers(block.after)
        if block.activation:
            found["activation"] = block.activation
        stages[number - 1].append(found)
    return {
        "activation": arch.activation,
        "padding": subject.facts.padding,
        "norm_eps": subject.facts.norm_eps,
        "stem": _layers(arch.stem.layers),
        "stages": stages,
        "head": _layers(arch.head.layers(arch.stages[-1].channels)),
    }


def _layers(specs: Iterable[LayerSpec]) -> list[dict[str, Any]]:
    found = []
    for spec in specs:
        fields = spec._asdict()
        if isinstance(spec, Branches):
            fields["branches"] = [_layers(branch) for branch in spec.branches]
        found.append({"kind": type(spec).__name__, **fields})
    return found


def _json(config: dict[str, Any]) -> str:
    """Indented, with a block or a list of numbers on one line."""
    text = json.dumps({key: value for key, value in config.items() if key != "network"}, indent=2)
    if "network" in config:
        rows = {**config["network"], "stages": "STAGES"}
        stages = ",\n".join(
            "      [\n" + ",\n".join(f"        {json.dumps(block)}" for block in stage) + "\n      ]"
            for stage in config["network"]["stages"]
        )
        lines = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items())
        lines = lines.replace('"STAGES"', f"[\n{stages}\n    ]")
        text = text.removesuffix("\n}") + f',\n  "network": {{\n{lines}\n  }}\n}}'
    return text + "\n"


def _renamed(tensors: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors by timm's names: both stand in order of computation (tests/test_parity.py). A linear layer of ours is
    a 1x1 convolution in timm's MobileNetV3."""
    found = {
        name: ours[..., None, None] if their.ndim == 4 and ours.ndim == 2 else ours
        for (name, their), ours in zip(theirs.items(), tensors.values(), strict=False)
    }
    if len(theirs) != len(tensors) or any(found[name].shape != theirs[name].shape for name in theirs):
        raise NasError("timm's network has other tensors than this one; please report it, with the baseline")
    return found


def _loaded(path: Path) -> ModuleType:
    """A folder's model.py, run as a module of its own; no bytecode is left beside it."""
    module = ModuleType("model")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module
