"""The supernet of a search space, and any of its networks as a plain one.

>>> import numpy as np, torch
>>> space = SearchSpace.load("digits")
>>> supernet = Supernet(space).eval()
>>> arch = space.decode(space.sample(np.random.default_rng(0)))
>>> net = supernet.extract(arch).eval()
>>> x = torch.randn(2, 1, 8, 8)
>>> torch.allclose(net(x), supernet(x, arch), atol=1e-5)
True
"""

from collections import OrderedDict
from collections.abc import Iterator

from torch import Tensor, device, nn
from torch.nn import functional as F

from nas.architecture import Architecture, Block
from nas.errors import NasError
from nas.layers import SHORTCUTS, ConvNormAct, LinearAct, Settings, SqueezeExcitation, drop_path, sequence
from nas.masks import Dropout
from nas.network import Network, build, initialize
from nas.space import SearchSpace
from nas.specs import Activation, Conv, LayerSpec, Linear, SqueezeExcite
from nas.supernet.layers import ACTS, SharedConv, SharedExcitation, SharedLinear, initialize_shared
from nas.supernet.sampling import extremes
from nas.supernet.shapes import ConvShape, Place, shapes

SKIPS = {name: made() for name, made in SHORTCUTS.items()}


class Supernet(nn.Module):
    """Every network of a space in one.

    Args:
        space: of the data's classes and channels (`SearchSpace.with_data`).
        transform: smaller kernels are transformed centres of the larger (`SharedConv`).

    Attributes:
        settings: of all layers; drop path and dropout are applied where they are asked for (`forward`).
        smallest, largest: the networks of the fewest and of the most multiply-adds.

    Raises:
        NasError: for a space whose networks cannot share weights, naming stage and op.
    """

    def __init__(self, space: SearchSpace, transform: bool = False) -> None:
        super().__init__()
        self.space, self.transform = space, transform
        self.settings = settings = Settings(dropout=0.0, drop_path=0.0)
        self.smallest, self.largest = extremes(space)
        frame = space.frame
        self.activation = frame.activation
        stem, *others = sequence(frame.stem.layers, frame.activation, settings).named_children()
        self.stem, self.stem_rest = stem[1], nn.Sequential(OrderedDict(others))
        self.shared = nn.ModuleDict()
        for place, shape in shapes(space).items():
            conv = isinstance(shape, ConvShape)
            self.shared[str(place)] = (
                SharedConv(shape, settings, transform) if conv else SharedExcitation(shape)
            )
        self.head = nn.ModuleDict()
        for spec in frame.head.layers(max(space.stages[-1].options["channels"])):
            self.head[spec.name] = _shared_head(spec, settings)
        self.dropout = Dropout(settings.dropout)
        self.apply(initialize)
        self.apply(initialize_shared)

    def forward(self, x: Tensor, arch: Architecture | None = None, regularize: bool = False) -> Tensor:
        """Logits (N, classes) of one of its networks, by default the largest.

        Args:
            x: float (N, in_chans, H, W).
            regularize: with drop path and dropout, in training mode.
        """
        arch = arch or self.largest
        x = self.stem_rest(self.stem(x))
        blocks = list(_placed(arch))
        for index, (stage, layer, block) in enumerate(blocks):
            rate = self.settings.drop_path * index / len(blocks) if regularize and self.training else 0.0
            x = self._block(x, arch, stage, layer, block, rate)
        return self._head(x, arch, regularize)

    def _block(
        self, x: Tensor, arch: Architecture, stage: int, layer: int, block: Block, rate: float
    ) -> Tensor:
        op, activation = arch.stages[stage - 1].op, block.activation or self.activation
        out = x
        for spec in block.layers:
            if isinstance(spec, Activation):
                out = ACTS[activation](out.clone() if out is x else out)  # the shortcut may want its input
            else:
                out = self.shared[str(Place(stage, layer, op, spec.name))](out, spec, activation)
        if block.projection:
            (spec,) = block.projection
            beside = self.shared[str(Place(stage, layer, op, spec.name))](x, spec, activation)
        elif (skip := SKIPS[block.shortcut]) is not None:
            beside = skip(x)
        else:
            beside = None
        if beside is not None:
            out = drop_path(out, rate) + beside
        for _ in block.after:
            out = ACTS[activation](out)
        return out

    def _head(self, x: Tensor, arch: Architecture, regularize: bool) -> Tensor:
        drop = self.dropout if regularize else nn.Identity()
        head = arch.head
        specs = {spec.name: spec for spec in head.layers(arch.stages[-1].channels)}
        if "head" in specs:
            x = self.head["head"](x, specs["head"], self.activation)
        if head.conv:
            x = self.head["classifier"](drop(x), specs["classifier"], self.activation)
            return F.adaptive_avg_pool2d(x, 1).flatten(1)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        if "hidden" in specs:
            x = ACTS[self.activation](self.head["hidden"](x))
        return self.head["classifier"](drop(x))

    def own(self, arch: Architecture) -> Architecture:
        """The same network as the space writes it.

        Raises:
            NasError: where it is none of this supernet's networks, with the reasons.
        """
        frame = self.space.frame
        for name, mine, theirs in (
            ("classes", frame.head.classes, arch.head.classes),
            ("channels", frame.stem.in_chans, arch.stem.in_chans),
        ):
            if mine != theirs:
                raise NasError(
                    f"the supernet of {self.space.name} is of {mine} {name}, and the network of {theirs}"
                )
        return self.space.decode(self.space.encode(arch))

    def extract(self, arch: Architecture) -> Network:
        """A plain network with copies of the weights that `arch` has here, in the mode this is in.

        Raises:
            NasError: where it is none of this supernet's networks.
        """
        arch = self.own(arch)
        with device("meta"):
            net = build(arch, **vars(self.settings))
        net = net.to_empty(device=next(self.parameters()).device)
        net.stem.load_state_dict(self.stem.state_dict())
        net.stem_rest.load_state_dict(self.stem_rest.state_dict())
        for stage, layer, block in _placed(arch):
            module = net.stages.get_submodule(f"{stage - 1}.{layer}")
            for spec in block.layers:
                if not isinstance(spec, Activation):
                    place = Place(stage, layer, arch.stages[stage - 1].op, spec.name)
                    _give(self.shared[str(place)], spec, module.get_submodule(spec.name))
            for spec in block.projection:
                place = Place(stage, layer, arch.stages[stage - 1].op, spec.name)
                _give(self.shared[str(place)], spec, module.get_submodule(f"shortcut.{spec.name}"))
        for spec in arch.head.layers(arch.stages[-1].channels):
            _give(self.head[spec.name], spec, net.get_submodule(spec.name))
        return net.train(self.training)


def _placed(arch: Architecture) -> Iterator[tuple[int, int, Block]]:
    """(stage from 1, layer from 0, block) in order of computation."""
    before, layer = 0, 0
    for stage, block in arch.blocks():
        layer = layer + 1 if stage == before else 0
        before = stage
        yield stage, layer, block


def _shared_head(spec: LayerSpec, settings: Settings) -> nn.Module:
    if isinstance(spec, Linear):
        return SharedLinear(spec.in_channels, spec.out_channels)
    assert isinstance(spec, Conv)
    shape = ConvShape(spec.out_channels, spec.in_channels, (spec.kernel,), spec.norm, spec.bias)
    return SharedConv(shape, settings, transform=False)


def _give(shared: nn.Module, spec: LayerSpec, to: nn.Module) -> None:
    """Copies what a plain module of a spec takes of a shared one."""
    if isinstance(shared, SharedConv):
        assert isinstance(spec, Conv)
        conv = to.conv if isinstance(to, ConvNormAct) else to
        assert isinstance(conv, nn.Conv2d)
        shared.give(spec, conv, to.norm if isinstance(to, ConvNormAct) and spec.norm else None)
    elif isinstance(shared, SharedExcitation):
        assert isinstance(spec, SqueezeExcite)
        assert isinstance(to, SqueezeExcitation)
        shared.give(spec, to)
    else:
        assert isinstance(shared, SharedLinear)
        linear = to.linear if isinstance(to, LinearAct) else to
        assert isinstance(linear, nn.Linear)
        shared.give(linear)
