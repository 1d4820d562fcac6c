"""What reads users' data, each as one function of bytes, which returns or raises NasError; else something is found.

    TARGETS["space"].check(b"name: x")

A message that is empty, of several lines or endless is found as well. `run.py` feeds them with atheris,
`test_fuzz.py` with hypothesis, and both with the files of `corpus/NAME/`, each of which once found something.
"""

import atexit
import contextlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import nas
from nas import baseline as baselines
from nas import catalog
from nas.block_strings import read_strings
from nas.choices import MAX_TABULATED
from nas.data import describe
from nas.decoding import FolderSplit, _Decoder
from nas.documents import BaselineDocument, Named
from nas.errors import NasError
from nas.evaluators.table import Table
from nas.export import export_text, to_timm, to_tpu
from nas.folders import Files, layout
from nas.known_report import known_lines, known_table
from nas.npz import npz
from nas.reading import validate
from nas.recipe import TrainingConfig
from nas.search.calibration_file import read_calibration
from nas.search.certificate_file import read_certificate
from nas.search.config import SearchConfig
from nas.search.finding import subject_of
from nas.search.journal import Journal
from nas.search.known import read as read_known
from nas.search.loop import Search
from nas.search.nni_schema import check_plain_space
from nas.search.options import options_of, training_of
from nas.search.runs import find_run, open_journal
from nas.search.scaling_grid import grid
from nas.search.settings import TunerSettings, fitted
from nas.search.subject import SpaceSubject
from nas.search.verdict_words import certificate_markdown
from nas.search.winner import pick
from nas.space import SearchSpace
from nas.splits import PARTS, FixedSplit
from nas.state_dicts import classes_of, parameters_of, read_state_dict
from nas.string_import import read_baseline
from nas.weights import Facts, load_network, save_weights

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4000
"""Characters of a message: the allowed values of a choice are listed in it."""

SPACE = b"""\
name: tiny
resolution: 16
target: 1M
stem: {channels: 8, stride: 1, in_chans: 1}
stages:
  - {op: [conv, mbconv], kernel: [3, 5], expand: [3, 6], se: [0, 0.25], channels: [8, 16], layers: 2}
  - {op: dsconv, kernel: 3, skip: [none, identity], channels: 16, stride: 2, pointwise_activation: true}
head: {channels: 24, classes: 3}
activation: swish
added: {stage1.channels: [16]}
"""
STRINGS, TPU_STRINGS = (export_text("mnasnet-a1", to).encode() for to in ("timm", "tpu"))
BASELINE = b"""\
name: tiny
source: by hand
resolution: 8
stem: {channels: 8, stride: 1, in_chans: 1}
stages:
  - {op: mbconv, kernel: 3, expand: 2, se: 0.25, skip: identity, channels: 8, layers: 1, stride: 1}
head: {channels: 16, classes: 3}
activation: swish
dropout: 0.1
scaling: {alpha: 1.2, beta: 1.1, gamma: 1.15}
provenance: {space: tiny, trial: 3, versions: {torch: "2.0"}, date: 2026-01-01, phi: 1}
"""
SEARCH = b"""\
experimentName: test
searchSpaceFile: tiny.yml
trialCommand: python -m nas.search.trial --data digits --epochs 3
trialConcurrency: 2
maxTrialNumber: 40
tuner:
  codeDirectory: .
  className: nas.search.tuner.StrategyTuner
  classArgs:
    strategy: {name: evolution, population_size: 8}
    reward: {form: [0, -0.2], target: 700k}
    limits: {macs: 10M}
    seed: 0
assessor: {name: Medianstop, classArgs: {optimize_mode: maximize}}
trainingService: {platform: local, useActiveGpu: true}
"""
NNI_SEARCH = b"""\
searchSpaceFile: nni.json
trialCommand: python -m nas.search.trial --data digits --space tiny.yml
trialConcurrency: 1
maxTrialNumber: 5
tuner: {name: TPE, classArgs: {optimize_mode: maximize}}
trainingService: {platform: local}
"""
SCALE = b"""\
searchSpace: scale:./base.yml
trialCommand: python -m nas.search.trial --data digits
trialConcurrency: 1
tuner: {codeDirectory: ., className: nas.search.tuner.StrategyTuner, classArgs: {scaling: {step: 0.4}}}
trainingService: {platform: local}
"""
TABLE = (
    b'{"name": "r", "source": "by hand", "choices": {"depth": [1, 2], "width": [8, "wide"]}, "records": ['
    b'{"sample": {"depth": 1, "width": 8}, "accuracy": [0.5, 0.6], "macs": "1k", "params": 10, "seconds": 2.5},'
    b'{"sample": {"depth": 2, "width": "wide"}, "accuracy": 0.7, "macs": 20, "params": 11}]}'
)
CSV = b"depth,width,accuracy,macs,params,seconds,network\n1,8,0.5,10,5,1.5,a\n1,wide,0.6,20,6,2,b\n2,8,0.7,20,6,3,b\n"
NNI_SPACE = (
    b'{"stage1.kernel": {"_type": "choice", "_value": [3, 5]}, "x": {"_type": "uniform", "_value": [0, 1]}}'
)
SETTINGS = (
    b'{"classArgs": {"strategy": {"name": "ppo", "clip": 0.2}, "seed": 3, '
    b'"reward": {"form": "hard", "target": "400M", "w": -0.07}, "limits": {"macs": "1M", "params": 100000}, '
    b'"scaling": {"step": 0.1, "tolerance": 0.2, "multiple": 2}}, '
    b'"training": {"epochs": 3, "batch_size": 32, "lr": 0.1, "warmup_epochs": 0.5, "augment": true, "accumulate": 2}}'
)
JOURNAL = (
    b'{"event": "run", "experiment": "abc", "space": "r", "sha256": "00", "seed": 0, "strategy": {"name": "random"}, '
    b'"table": {"name": "r", "source": "", "sha256": "00", "choices": {"depth": [1, 2]}, "target": 15}}\n'
    b'{"event": "asked", "number": 0, "sample": {"depth": 1}, "key": "k", "macs": 10, "seen": 0, "job": "x"}\n'
    b'{"event": "told", "number": 0, "state": "complete", "accuracy": 0.5, "reward": 0.6, "seconds": 1.5}\n'
    b'{"event": "asked", "number": 1, "sample": {"depth": 2}, "key": "l", "macs": 20}\n'
    b'{"event": "told", "number": 1, "state": "failed", "reason": "out of memory"}\n'
)
SAVED = (
    b'{"b0nas search": 1, "settings": {"strategy": "random", "reward": {"form": "soft", "w": -0.07, "target": 10.0}, '
    b'"seed": 0, "limits": {}}, "given": {"cost": true, "canonical": false}, "choices": {"a": [1, 2], "b": [3, "x"]}, '
    b'"macs": [1.0, 2.0, 3.0, 4.0], "events": [["ask", [0, 1]], ["tell", [0, 1], 0.5, null, null], '
    b'["tell", [1, 1], null, null, "out of memory"]]}'
)
TREE = b"d train/cats\nd train/dogs\nf train/cats/1.png\nf train/cats/2.JPG\nf train/dogs/3.png\nf train/dogs/4.png\n" \
    b"d val/cats\nd val/dogs\nf val/cats/5.png\nf val/dogs/6.png\nl train/cats/loop ..\n"  # fmt: skip
COMMAND = (
    b"python -m nas.search.trial --data 'digits' --epochs 3 --lr 0.1 --batch-size 32 --optimizer sgd "
    b"--max-macs 1M --workers 1 --seed 3"
)


FOLDER_SPLIT = b"""{"data": "folder:birds", "metric": "balanced", "class_names": ["owl", "wren"],
 "train": {"owl": ["owl/1.png", "owl/2.png"], "wren": ["wren/1.png"]}, "val": {"owl": ["owl/3.png"],
 "wren": ["wren/2.png"]}, "test": {"owl": ["owl/4.png"], "wren": ["wren/3.png"]},
 "left_out": {"owl/5.png": "a copy"}}"""
ARRAY_SPLIT = b"""{"data": "npz:a.npz", "class_names": ["0", "1"], "counts": [8, 4], "train": [0, 1, 2, 3],
 "val": [4, 5], "test": [0, 1, 3]}"""
KNOWN = b"""[{"name": "efficientnet-b0", "sample": {"stage1.kernel": 3}, "macs": 60000, "off": null, "accuracy": 0.9,
 "reward": 0.9, "failed": null, "peers": 12, "by_accuracy": 41.7, "by_reward": 50.0},
 {"name": "mnasnet-a1", "off": "stage1.op mbconv is not in the space"}]"""


CERTIFICATE = b"""{"format": 1, "run": "abc", "space": "tiny", "data": "digits", "level": 0.95,
 "winner": {"trial": 1, "key": "k", "macs": 60000, "params": 900}, "proxy_winner": 0, "recipe": "cifar: 9 epochs",
 "seeds": {"choose": [1, 2, 3], "judge": [4, 5, 6]}, "random": {"networks": 12, "run": null},
 "finalists": [{"of": "search", "trial": 1, "key": "k", "macs": 60000, "params": 900, "proxy": 0.9,
  "val": [0.91, null, 0.93], "reward": 1.1, "family_reward": null}],
 "judged": [{"name": "winner", "macs": 60000, "params": 900, "test": [0.9, 0.91, 0.92], "note": null},
  {"name": "mnasnet-a1", "macs": null, "params": null, "test": [], "note": "no width of it"}],
 "contrasts": [{"rival": "runner-up", "margin": 0.01, "low": -0.01, "high": 0.03, "n": [3, 3],
  "distinguishable": false}], "family": {"changed": 1, "of": 3, "choice": 1, "alone": 0},
 "seconds": {"random": 1.5, "finalists": 2.5, "judged": 3}}"""
CALIBRATION = b"""{"space": "tiny", "sha256": "00", "data": "digits", "target": 300000, "pilot": 8, "level": 0.9,
 "exponent": {"value": -0.047, "low": -0.075, "high": -0.012},
 "landing": {"value": 231872.0, "low": 73753.6, "high": 455808.0, "w": -0.07, "percent": 32.05},
 "frontier": [[63520.0, 0.70], [865536.0, 0.94]], "proxies": {"longest": {"epochs": 8}, "top": 3, "bound": 0.005,
  "chance": 0.02, "verdicts": [{"fidelity": {"epochs": 2, "fraction": 0.5}, "cost": 0.2, "rank": 0.8, "rank_low": 0.4,
  "rank_high": 0.9, "rank_at_cost": 0.5, "noise": null, "regret": 0.001, "regret_high": 0.004}],
  "cheapest": {"epochs": 2}}}"""


@dataclass(frozen=True)
class Target:
    """A reader of users' data.

    Attributes:
        kind: of `mutations.KINDS`.
        inputs: of a run of `make fuzz`.
        read: is given the file's content.
        seeds: good inputs.
    """

    name: str
    kind: str
    inputs: int
    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]

    def check(self, data: bytes) -> None:
        """Reads an input; raises whatever is found."""
        with contextlib.chdir(_folder()):
            try:
                self.read(data)
            except NasError as error:
                said = str(error)
                assert 0 < len(said) <= LONGEST, f"a message of {len(said)} characters: {said[:200]!r}"
                assert "\n" not in said, f"a message of several lines: {said!r}"

    def corpus(self) -> list[Path]:
        """Inputs that found something."""
        return sorted(path for path in (CORPUS / self.name).glob("*") if path.is_file())


@cache
def _folder() -> Path:
    """Where targets write their files: what documents may refer to is in it."""
    made = tempfile.TemporaryDirectory(prefix="b0nas-fuzz-")
    atexit.register(made.cleanup)
    folder = Path(made.name)
    for name, content in {
        "tiny.yml": SPACE, "base.yml": BASELINE, "r.json": TABLE, "nni.json": NNI_SPACE,
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.yml")
    (folder / "circle.yml").symlink_to("circle.yml")
    return folder


def _written(name: str, data: bytes) -> Path:
    path = Path(name)
    path.write_bytes(data)
    return path


# Documents


def _space(data: bytes) -> None:
    space = SearchSpace.load(_written("./space.yml", data))
    rng = np.random.default_rng(0)
    arch = space.decode(space.sample(rng))
    assert space.contains(arch)
    assert space.decode(space.encode(arch)).key == arch.key
    assert SearchSpace.from_data(json.loads(space.document.model_dump_json())).sha256 == space.sha256
    if sum(len(list(stage.combinations())) for stage in space.stages) < 400 < MAX_TABULATED:
        assert 0 < space.size <= space.size_raw
        assert space.target > 0
        if space.choices:
            space.mutate(space.sample(rng), rng)


def _baseline(data: bytes) -> None:
    found = baselines.load(_written("./baseline.yml", data))
    assert baselines.from_document(BaselineDocument.parse(baselines.dump(found), "again")) == found


def _block_strings(data: bytes) -> None:
    tool, write = ("tpu", to_tpu) if b"_i" in data else ("timm", to_timm)
    found = read_baseline(Path(_written("strings.txt", data)), tool)
    assert read_strings(write(found), tool).key == found.architecture.key
    assert baselines.from_document(BaselineDocument.parse(baselines.dump(found), "again")) == found


def _search_yml(data: bytes) -> None:
    config = SearchConfig.read(_written("search.yml", data), data=False)
    assert config.prepared(3)["maxTrialNumber"] == 3
    assert config.trials > 0
    tuner = config.data["tuner"]
    assert tuner.get("className") == "nas.search.tuner.StrategyTuner" or tuner.get("name")
    assert "className" not in (config.data.get("assessor") or {})


def _nni_space(data: bytes) -> None:
    check_plain_space({"searchSpaceFile": str(_written("nni-space.json", data))}, lambda *keys: "search.yml")
    assert b"__nni_obj__" not in data.split(b"#")[0] or b'"__nni_obj__":' not in data


def _settings(data: bytes) -> None:
    try:
        written = json.loads(data)
    except (ValueError, RecursionError):
        return  # NNI's to read
    parts = written if isinstance(written, dict) else {"classArgs": written}
    with contextlib.suppress(NasError):
        TrainingConfig.check(parts.get("training"), "trial")
    found = TunerSettings.read(parts.get("classArgs"))
    fitted(found.strategy, 40, 2, 20)
    assert found.reward.of(0.5, 1000, found.reward.target or 1000) >= 0
    if found.scaling is not None and found.scaling.step >= 0.05:
        grid(found.scaling)


def _command(data: bytes) -> None:
    options = options_of(data.decode(errors="replace"), strict=True)
    if options is not None and options.table is None:
        training_of(options, options.seed or 0)


# What searches and trials leave behind


def _journal(data: bytes) -> None:
    path = _written("journal.jsonl", data)
    journal = Journal(path)
    journal.refresh()
    journal.ended()
    journal.best()
    with contextlib.suppress(NasError):
        pick(journal, None)
    subject_of(open_journal(Path()).run, str(path))


def _run_event(data: bytes) -> None:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return  # the journal's to read
    if isinstance(event, dict):
        assert subject_of(event).choices is not None


def _saved(data: bytes) -> None:
    with Search.load(_written("saved.json", data)) as search:
        search.best  # noqa: B018


def _split(data: bytes) -> None:
    split = FixedSplit.read(_written("split.json", data))
    assert (
        FixedSplit.check(json.loads(split.document.model_dump_json()), "again", Path.cwd()).document
        == split.document
    )
    seen: list[Any] = []
    for part in PARTS:
        seen += split.files(part).paths if split.root else split.indices(part).tolist()
        if split.root:
            assert all(
                Path(path).resolve().is_relative_to(split.root.resolve()) for path in split.files(part).paths
            )
        elif part == "val":  # test images are of the data set's other half
            assert len(set(seen)) == len(seen)
            seen = []
    assert len(set(seen)) == len(seen)


def _known(data: bytes) -> None:
    found = read_known(_written("known.json", data))
    known_lines(found)
    known_table(found)


def _certificate(data: bytes) -> None:
    Path("certificate").mkdir(exist_ok=True)
    Path("certificate/certificate.json").write_bytes(data)
    found = read_certificate(Path())
    assert found is not None
    assert all("\n" not in line for line in certificate_markdown(found))


def _calibration(data: bytes) -> None:
    read_calibration(_written("calibration.json", data))


def _table_json(data: bytes) -> None:
    _look(Table.read(_written("table.json", data)))


def _table_csv(data: bytes) -> None:
    _look(Table.read(_written("table.csv", data)))


def _look(table: Table) -> None:
    assert table.target > 0
    assert all(table.find(sample) is not None for sample in table.samples)


# Weights


def _weights(data: bytes) -> None:
    load_network(_architecture(), _written("x.safetensors", data))(torch.zeros(1, 1, 8, 8))


def _state_dict(data: bytes) -> None:
    tensors = read_state_dict(_written("x.pth", data))
    assert classes_of(tensors) >= 0 <= parameters_of(tensors)
    assert sum(t.numel() * t.element_size() for t in set(tensors.values())) <= len(data)


@cache
def _architecture() -> nas.Architecture:
    return baselines.from_document(BaselineDocument.parse(BASELINE.decode(), "tiny")).architecture


# Images


def _npz(data: bytes) -> None:
    source = npz(_written("x.npz", data))
    for part in ("train", "test"):
        images, labels = source.read(part)
        assert images.ndim == 4
        assert len(images) == len(labels)
        assert 0 <= labels.min() <= labels.max() < source.classes


def _image(data: bytes) -> None:
    path = str(_written("x.png", data))
    split = FolderSplit(Files((path,), np.zeros(1, np.int64)), 8, 0)
    for augment in ("none", "basic"):
        item = _Decoder(split, augment, 0)[0]
        if isinstance(item, str):
            raise NasError(item)
        assert item[0].shape == (3, 8, 8)


def _tree(data: bytes) -> None:
    """Lines 'd FOLDER', 'f FILE', 'p PIPE', 'l LINK TARGET', made below a new folder."""
    with tempfile.TemporaryDirectory(dir=".") as root:
        for line in data.split(b"\n")[:60]:
            kind, _, name = line.partition(b" ")
            name, _, target = name.partition(b" ")
            parts = [
                part[:80] for part in name.replace(b"\0", b"").split(b"/") if part not in (b"", b".", b"..")
            ]
            path = os.path.join(os.fsencode(root), *parts[:6])
            with contextlib.suppress(OSError, ValueError):
                if kind in (b"d", b"f"):
                    os.makedirs(path if kind == b"d" else os.path.dirname(path), exist_ok=True)
                if kind == b"f":
                    with open(path, "xb"):
                        pass
                elif kind == b"p":
                    os.mkfifo(path)
                elif kind == b"l" and not target.startswith(b"/") and target.count(b"..") <= len(parts) - 1:
                    os.symlink(target, path)
        found = layout(root)
        assert len(found.class_names) == describe(f"folder:{root}")[0] >= 2
        for files in (*found.training(0), found.testing()):
            assert len(files.paths) == len(files.labels)


def _name(data: bytes) -> None:
    """A name or path, wherever one is given."""
    name = os.fsdecode(data[:2000])
    for kind in catalog.KINDS:
        with contextlib.suppress(NasError):
            catalog.find(kind, name)
    with contextlib.suppress(NasError):
        given = validate(Named, {"name": name}, "--name").name
        assert Path(f"{given}.yml").name == f"{given}.yml"
        assert not given.startswith(("-", "."))
    if "\0" not in name:  # no command line has one
        with contextlib.suppress(NasError):
            find_run(name)
    describe(name)


# Good inputs


def _cells(kind: str) -> list[bytes]:
    """Small images of a format."""
    made = []
    for mode in ("RGB", "L", "P") if kind in ("PNG", "GIF", "BMP", "TIFF") else ("RGB",):
        file = io.BytesIO()
        Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).convert(mode).save(file, kind)
        made.append(file.getvalue())
    return made


def _images() -> list[bytes]:
    return [
        content for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP") for content in _cells(kind)
    ]


def _arrays() -> list[bytes]:
    made = []
    for save, shape in ((np.savez, (4, 4)), (np.savez_compressed, (4, 4, 3))):
        images, labels, file = np.zeros((4, *shape), np.uint8), np.array([0, 1, 0, 1]), io.BytesIO()
        names = np.array(["cat", "dog"])
        save(file, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=names)
        made.append(file.getvalue())
    return made


def _tensors() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        facts = Facts(
            baseline="tiny", epochs=3, accuracy=0.5, mean=(0.5,), std=(0.25,), class_names=("a", "b", "c")
        )
        return [save_weights(nas.build(_architecture()), Path(folder, "x.safetensors"), facts).read_bytes()]


def _pickles() -> list[bytes]:
    made = []
    state = {
        "state_dict": {"module.fc.weight": torch.zeros(3, 2), "fc.bias": torch.ones(3), "n": torch.tensor(3)}
    }
    for new in (True, False):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=new)
        made.append(file.getvalue())
    return made


def _events() -> list[bytes]:
    space = SearchSpace.from_data(json.loads(nas_space()))
    document = json.loads(
        BaselineDocument.parse(BASELINE.decode(), "tiny").model_dump_json(exclude_defaults=True)
    )
    scaling = {"baseline": document, "scaling": {"step": 0.4}, "classes": 10, "in_chans": 1, "path": None}
    return [
        json.dumps(SpaceSubject(space).form()).encode(),
        json.dumps(scaling).encode(),
        JOURNAL.split(b"\n")[0],
    ]


def nas_space() -> str:
    import yaml

    return json.dumps(yaml.safe_load(SPACE))


TARGETS = {
    target.name: target
    for target in (
        Target("space", "yaml", 15_000, _space, lambda: [SPACE]),
        Target("baseline", "yaml", 15_000, _baseline, lambda: [BASELINE]),
        Target("block-strings", "lines", 15_000, _block_strings, lambda: [STRINGS, TPU_STRINGS]),
        Target("search-yml", "yaml", 12_000, _search_yml, lambda: [SEARCH, NNI_SEARCH, SCALE]),
        Target("nni-space", "json", 20_000, _nni_space, lambda: [NNI_SPACE]),
        Target("settings", "json", 20_000, _settings, lambda: [SETTINGS]),
        Target("command", "words", 12_000, _command, lambda: [COMMAND]),
        Target("journal", "json lines", 20_000, _journal, lambda: [JOURNAL]),
        Target("run-event", "json", 15_000, _run_event, _events),
        Target("saved-search", "json", 10_000, _saved, lambda: [SAVED]),
        Target("split", "json", 15_000, _split, lambda: [FOLDER_SPLIT, ARRAY_SPLIT]),
        Target("known-answers", "json", 6_000, _known, lambda: [KNOWN]),
        Target("certificate", "json", 8_000, _certificate, lambda: [CERTIFICATE]),
        Target("calibration", "json", 8_000, _calibration, lambda: [CALIBRATION]),
        Target("table-json", "json", 20_000, _table_json, lambda: [TABLE]),
        Target("table-csv", "csv", 20_000, _table_csv, lambda: [CSV]),
        Target("weights", "safetensors", 15_000, _weights, _tensors),
        Target("state-dict", "torch", 10_000, _state_dict, _pickles),
        Target("npz", "npz", 12_000, _npz, _arrays),
        Target("image", "bytes", 15_000, _image, _images),
        Target("image-folder", "lines", 6_000, _tree, lambda: [TREE]),
        Target(
            "name", "bytes", 15_000, _name, lambda: [b"digits", b"npz:x.npz", b"folder:a", b"../x", b"~a/x"]
        ),
    )
}


def prepare() -> None:
    """Makes every warning that reaches a user something that is found."""
    warnings.simplefilter("error")
