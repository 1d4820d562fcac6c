"""How a training begins: with what data, network and settings; new, or as it was begun before.

>>> Request("digits-found", "digits", fields={"epochs": 3}).given
{'data': 'digits', 'epochs': 3}
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from nas import baseline as baselines
from nas.baseline import Baseline
from nas.checkpoints import EVERY_SECONDS, INITIAL, has_checkpoint, read_settings
from nas.data import Data, describe, fingerprint, load_data
from nas.documents import BaselineDocument
from nas.errors import NasError
from nas.files import at_home, check_file
from nas.fitting import check_channels, check_key, fill
from nas.network import Network, build
from nas.recipe import TrainingConfig
from nas.recipes import recipe
from nas.scoring import statistics_of
from nas.training import seeded
from nas.weights import Facts, read_weights

HEAD = "classifier."


@dataclass(frozen=True)
class Request:
    """What `nas train` was asked.

    Attributes:
        baseline, data, data_dir, recipe, weights, transfer: of the command; a recipe is chosen where None.
        init: 'supernet:DIR', whose share of the weights it begins with.
        fields: of `TrainingConfig`, those that were given.
        out: folder of the training; by default trained/NAME.
        resume: go on with what is there.
        device, threads, workers, checkpoint_seconds: of this machine, free to differ when a training is resumed.
        words: the command as typed, to be repeated.
    """

    baseline: str
    data: str
    data_dir: str | None = None
    recipe: str | None = None
    weights: Path | None = None
    transfer: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    words: tuple[str, ...] = ()
    checkpoint_seconds: float = EVERY_SECONDS
    init: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What decides the result, as far as it was given."""
        found = {"data": self.data, "recipe": self.recipe, "transfer": self.transfer or None, **self.fields}
        found["init"] = self.init
        if self.weights is not None:
            found["weights_sha256"] = hashlib.sha256(_content(self.weights)).hexdigest()
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Beginning:
    """What a training begins with.

    Attributes:
        recipe: its name.
        facts: how the network is built, and where its weights come from.
        settings: of training.json.
    """

    baseline: Baseline
    data: Data
    recipe: str
    config: TrainingConfig
    net: Network
    facts: Facts
    settings: dict[str, Any]


def begun(request: Request, baseline: Baseline) -> Beginning:
    """Of a new training; nothing is written.

    Raises:
        NasError: for a mistake in the request, or weights that do not fit.
    """
    given = request.weights is not None or request.init is not None
    if not given and (request.transfer or request.recipe == "transfer"):
        asked = "--transfer" if request.transfer else "--recipe transfer"
        raise NasError(f"{asked} needs weights to begin from; give --weights FILE, or leave it out")
    if request.init is not None and request.weights is not None:
        raise NasError("--init and --weights both say what the network begins with; keep one")
    if request.init is not None and request.transfer:
        raise NasError(
            "--transfer is a new classifier for --weights, and what --init gives has the data's; leave it out"
        )
    source = Facts() if request.weights is None else read_weights(request.weights)[1]
    data = _data(baseline, request.data, request, request.data_dir, source)
    name, config = chosen(request, baseline, len(data.split(request.fields.get("split") or "train")))
    if request.init is not None:
        net, facts = _inherited(request.init, baseline, data, config)
    elif request.weights is None:
        net, facts = _network(baseline, data, config, Facts()), Facts()
    else:
        net, facts = _filled(request.weights, request.transfer, baseline, data, config)
    settings = {
        "format": 1, "baseline": baselines.dump(baseline), "data": request.data, "data_dir": request.data_dir,
        "recipe": name, "config": config.model_dump(mode="json"), "given": request.given,
        "images": fingerprint(data),
        "network": {
            "norm_eps": facts.norm_eps, "padding": facts.padding, "mean": facts.mean, "std": facts.std,
            "source": facts.source,
        },
    }  # fmt: skip
    return Beginning(baseline, data, name, config, net, facts, settings)


def chosen(request: Request, baseline: Baseline, images: int) -> tuple[str, TrainingConfig]:
    """The recipe's name, and its config with what was given, for so many images."""
    name = request.recipe or ("transfer" if request.transfer else "efficientnet")
    return name, recipe(name, own_dropout=baseline.dropout, images=images, **request.fields)


def resumed(request: Request, baseline: Baseline, folder: Path) -> Beginning:
    """Of a training that was begun in `folder`.

    Raises:
        NasError: where there is none, or one of another network, other settings or other images.
    """
    first, settings = _settings(request, baseline, folder)
    config = TrainingConfig.check(settings["config"], str(folder / "training.json"))
    facts = Facts(**settings["network"])
    data = _data(first, settings["data"], request, settings["data_dir"], facts)
    if fingerprint(data) != settings["images"]:
        mend = "restore them, or begin another training with --out"
        if not has_checkpoint(folder):
            mend = "leave --resume out to begin anew, as nothing was trained yet"
        raise NasError(
            f"{folder}: {data.name} has other images or classes than when the training was begun; {mend}"
        )
    net = _network(first, data, config, facts)
    if not {"weights_sha256", "init"}.isdisjoint(settings["given"]):
        fill(net, read_weights(folder / INITIAL)[0], str(folder))
    return Beginning(first, data, settings["recipe"], config, net, facts, settings)


def _settings(request: Request, baseline: Baseline, folder: Path) -> tuple[Baseline, dict[str, Any]]:
    settings = read_settings(folder)
    document = BaselineDocument.parse(settings["baseline"], str(folder / "training.json"))
    first = baselines.from_document(document)
    if first.architecture != baseline.architecture:
        raise NasError(
            f"{folder}: was begun with the baseline {first.name}, which {request.baseline} is not; give that, or "
            "another --out"
        )
    known = {
        **settings["config"],
        **settings["given"],
        "recipe": settings["recipe"],
        "data": settings["data"],
    }
    for name, value in request.given.items():
        before = known.get(name)
        if value != before:
            raise NasError(
                f"{folder}: {name} is {value} in the command, but the training was begun with {before}; leave it "
                "out, or begin another with --out"
            )
    return first, settings


def _data(baseline: Baseline, name: str, request: Request, data_dir: str | None, facts: Facts) -> Data:
    statistics = statistics_of(facts, describe(name, data_dir)[1])
    pixels = baseline.architecture.resolution
    return load_data(name, data_dir, pixels, workers=request.workers, statistics=statistics)


def _network(baseline: Baseline, data: Data, config: TrainingConfig, facts: Facts) -> Network:
    with seeded(config.seed):
        return build(
            baseline.architecture, data.classes, data.in_chans, norm_eps=facts.norm_eps, padding=facts.padding
        )


INIT = "supernet:"
"""Before a folder, in `--init`."""


def _inherited(init: str, baseline: Baseline, data: Data, config: TrainingConfig) -> tuple[Network, Facts]:
    """The network with its share of a supernet's weights, its batch norm estimated on training images."""
    from nas.supernet.folder import load_supernet
    from nas.supernet.recalibration import recalibrate

    folder = init.removeprefix(INIT)
    if not init.startswith(INIT) or not folder:
        raise NasError(
            f"--init is {init!r}; give supernet:DIR, the folder of a supernet of nas supernet, or --weights FILE"
        )
    found = load_supernet(at_home(folder))
    try:
        arch = found.supernet.own(baseline.architecture.with_data(data.classes, data.in_chans))
    except NasError as error:
        raise NasError(f"{folder}: its supernet has no {baseline.name}: {error}") from None
    found.check_images(data)
    taken = found.supernet.extract(arch)
    recalibrate(taken, data)
    net = _network(baseline, data, config, Facts())
    net.load_state_dict(taken.state_dict())
    return net, Facts(source=f"weights of the supernet in {folder}")


def _filled(
    path: Path, transfer: bool, baseline: Baseline, data: Data, config: TrainingConfig
) -> tuple[Network, Facts]:
    """The network with the weights of a file, and how it is built.

    A new classifier is all zeros, as in Vision Transformers' fine-tuning (arXiv:2010.11929, section 3.2): every class
    is equally likely at first, where random weights on trained features would begin with a loss far above. One with an
    activation after it (`Head.conv`) would have no gradient there, and stays random.
    """
    tensors, facts = read_weights(path)
    check_key(baseline.architecture, facts.key, str(path))
    check_channels(tensors, data.in_chans, str(path), data.name)
    net = _network(baseline, data, config, facts)
    found = tensors.get(f"{HEAD}weight")
    if not transfer and found is not None and len(found) != data.classes:
        raise NasError(
            f"{path}: has {len(found)} classes, and {data.name} has {data.classes}; give --transfer for a new "
            "classifier"
        )
    fill(net, tensors, str(path), leave=(HEAD,) if transfer else ())
    if transfer and not baseline.architecture.head.conv:
        for parameter in net.classifier.parameters():
            nn.init.zeros_(parameter)
    return net, replace(facts, accuracy=None, scored="", class_names=())


def _content(path: Path) -> bytes:
    check_file(path, mend="give the path of a .safetensors file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise NasError(
            f"{path}: cannot be read ({error.strerror}); give the path of a .safetensors file"
        ) from None
