"""A folder with which the network runs without b0nas: model.safetensors, config.json, model.py, and its document.

>>> from nas.exporting import subject_of
>>> network = network_of(subject_of("mnasnet-b1-0.5", None))
>>> network["stages"][0][0]["shortcut"], network["stages"][0][0]["layers"][0]["kind"]
('none', 'Conv')

Where timm's notation has the network, its model.py builds timm's own EfficientNet, and the weights bear timm's names;
else model.py is plain torch. Both are files of `nas.standalone`, copied.
"""

import inspect
import json
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from nas import baseline as baselines
from nas.earlier_export import CARD, CONFIG, PROGRAM, WEIGHTS, check_replaced, forget, record_of, written
from nas.errors import NasError, listed
from nas.exporting import Subject, compared
from nas.files import write_bytes_whole
from nas.model_card import model_card
from nas.specs import Branches, LayerSpec
from nas.timm_form import config_of, efficientnet_of, not_in_timm, timm_name
from nas.weights import FORMAT, metadata_of, write_tensors


def write_folder(subject: Subject, to: str, path: Path) -> list[str]:
    """Writes the folder PATH, once the network in it was built by its own model.py; the lines to print.

    Raises:
        NasError: where timm is needed and missing, outputs differ, or something cannot be written.
    """
    why_not = not_in_timm(subject.net.architecture)
    if why_not is None and find_spec("timm") is None:
        raise NasError(
            f"--to {to} needs timm, whose EfficientNet this network is and is checked against; pip install "
            "-e '.[timm]' in the checkout, or pip install timm"
        )
    name = None if why_not else timm_name(subject.net.architecture, subject.facts.padding)
    files = [*[CARD] * (to == "hub"), CONFIG, PROGRAM, WEIGHTS, f"{subject.baseline.name}.yml"]
    before = written(path)
    check_replaced(path, files, before)
    whole = path.resolve()
    partial = whole.with_name(f".{whole.name}.partial")
    try:
        lines = _fill(partial, subject, why_not, name, to)
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
    if name:
        lines.append(f'timm knows it as {name}: timm.create_model("local-dir:{path}", pretrained=True)')
    lines.append(f"written: {path}: {listed(files)}")
    if to == "hub":
        lines += [
            "license: none; README.md leaves it to you",
            f"nothing was uploaded; to do that: hf upload USER/{subject.baseline.name} {path}",
        ]
    return lines


def _fill(folder: Path, subject: Subject, why_not: str | None, name: str | None, to: str) -> list[str]:
    """Writes everything into a folder of our own, and compares what it loads as; the lines to print."""
    shutil.rmtree(folder, ignore_errors=True)
    config = config_of(subject, name)
    tensors = dict(subject.net.state_dict())
    if why_not is None:
        config |= {"efficientnet": efficientnet_of(subject)}
        from nas.standalone import timm_model as program

        tensors = _renamed(tensors, program.build(config["efficientnet"]))
        form = "timm's EfficientNet, in model.py"
    else:
        config |= {"network": network_of(subject)}
        from nas.standalone import plain_model as program

        form = f"plain torch, in model.py, as timm cannot build it: {why_not}"
    said = {"format": "pt", "b0nas": FORMAT} | metadata_of(subject.net, subject.facts)
    write_tensors(folder / WEIGHTS, tensors, said)
    texts = {
        PROGRAM: inspect.getsource(program),
        f"{subject.baseline.name}.yml": baselines.dump(subject.baseline),
    }
    if to == "hub":
        texts[CARD] = model_card(subject, config, timm=why_not is None, name=name)
    files = {file: text.encode(errors="backslashreplace") for file, text in texts.items()}
    files[CONFIG] = _json(config | record_of(files)).encode()
    for file, content in files.items():
        write_bytes_whole(folder / file, content, "free some space, or choose another --output")
    lines = [form, compared(subject, _loaded(folder / PROGRAM).load(), PROGRAM)]
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


def _renamed(tensors: dict[str, Tensor], theirs: nn.Module) -> dict[str, Tensor]:
    """Our tensors by timm's names: both stand in order of computation (tests/test_parity.py)."""
    names = theirs.state_dict()
    if [t.shape for t in names.values()] != [t.shape for t in tensors.values()]:
        raise NasError(
            "timm's EfficientNet has other tensors than the network; please report it, with the baseline"
        )
    return dict(zip(names, tensors.values(), strict=True))


def _loaded(path: Path) -> ModuleType:
    """A folder's model.py, run as a module of its own; no bytecode is left beside it."""
    module = ModuleType("model")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module
