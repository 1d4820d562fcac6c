"""What tests share: one thread, hypothesis with fixed examples and no deadline, random architectures."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from nas.architecture import Architecture, check_projection, stage_cost, stem_cost
from nas.block import SE_KINDS
from nas.errors import NasError
from nas.latency_model import HeldOut, LatencyModel, PartRow, parts_of_space
from nas.ops import ACTIVATIONS, OPS, SKIPS
from nas.parts import DEFAULTS, Head, Stage, Stem

# Before torch is imported, and for the processes that tests start: small networks gain nothing
# from threads, and threads that wait for a busy core make tests several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("b0nas", deadline=None, derandomize=True)
settings.load_profile("b0nas")

_CHANNELS = st.sampled_from([1, 3, 5, 8, 8, 8, 13, 16])


def _fitting(stage: Stage) -> Stage:
    """`stage` without what its op cannot have: others' fields, an odd number of channels."""
    op = OPS[stage.op]
    own = {flag: default for flag, default in DEFAULTS.items() if flag not in op.flags}
    return replace(stage, **own, channels=stage.channels + stage.channels % 2 if op.even else stage.channels)


@st.composite
def _stages(draw, strides: list[int]) -> Stage:
    stage = Stage(
        op=draw(st.sampled_from(sorted(OPS))),
        kernel=draw(st.sampled_from([1, 3, 5, 7])),
        channels=draw(_CHANNELS),
        layers=draw(st.integers(1, 3)),
        stride=draw(st.sampled_from(strides)),
        expand=draw(st.sampled_from([0.25, 1, 1.1, 2, 2.5, 6])),
        se=draw(st.sampled_from([0, 0.03, 0.25, 0.3, 1])),
        skip=draw(st.sampled_from(SKIPS)),
        pointwise_activation=draw(st.booleans()),
        always_expand=draw(st.booleans()),
        activation=draw(st.none() | st.sampled_from(ACTIVATIONS)),
        se_kind=draw(st.sampled_from(SE_KINDS)),
        separables=draw(st.integers(1, 3)),
        widen_last=draw(st.booleans()),
    )
    return _fitting(stage)


@st.composite
def _stems(draw, resolution: int) -> Stem:
    stem = Stem(draw(_CHANNELS), draw(st.sampled_from([1, 2])), draw(st.integers(1, 4)))
    if draw(st.booleans()):
        return stem
    fields = {"pool": draw(st.booleans()), "bias": draw(st.booleans()), "first": draw(st.none() | _CHANNELS)}
    return replace(
        stem, **fields, kernel=draw(st.sampled_from([1, 3, 7])), valid=draw(st.booleans()) and resolution > 16
    )


@st.composite
def _heads(draw) -> Head:
    head = Head(draw(st.none() | _CHANNELS), draw(st.integers(1, 12)))
    return draw(st.sampled_from([head, head, replace(head, hidden=5), replace(head, conv=True)]))


@st.composite
def _architectures(draw) -> Architecture:
    resolution = draw(st.integers(1, 40))
    stem = draw(_stems(resolution))
    height = stem_cost(stem, resolution)[1]
    stages = []
    for _ in range(draw(st.integers(1, 4))):
        stage = draw(_stages([1, 2] if height > 1 else [1]))
        before = stages[-1].channels if stages else stem.channels
        try:
            check_projection(stage, before, height, "")
        except NasError:  # of an odd map, beside what pools without padding
            stage = replace(stage, skip="none")
        stages.append(stage)
        height = stage_cost(stage, before, height)[1]
    return Architecture(stem, tuple(stages), draw(_heads()), draw(st.sampled_from(ACTIVATIONS)), resolution)


@pytest.fixture(scope="session")
def fitting():
    """A function stage -> the stage without what its op cannot have."""
    return _fitting


@pytest.fixture(scope="session")
def architectures() -> st.SearchStrategy[Architecture]:
    """Small architectures far outside the search spaces: odd widths, expansion 1, 1 to 40 pixels."""
    return _architectures()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def lively():
    """A function (net, pixels) -> net in eval mode, its batch norms with the statistics of random images and
    random affine parameters, so that every layer carries signal."""
    import torch
    from torch import nn

    def fill(net: nn.Module, pixels: int) -> nn.Module:
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # an average over all batches seen
        with torch.no_grad():
            net.train()(torch.randn(4, 3, pixels, pixels))
            for norm in norms:
                assert norm.running_mean is not None
                assert norm.running_var is not None
                norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
                norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.2)
                norm.weight.uniform_(0.8, 1.2)
                norm.bias.normal_(0, 0.2)
        return net.eval()

    return fill


@pytest.fixture
def latency_model():
    """Makes a latency model of a space, whose parts take what `law`, a function of a part, says in milliseconds."""

    def make(space, law=lambda part: 0.1 + 0.01 * part.channels, **changes):
        held_out = HeldOut(n=24, median=0.05, p90=0.1, spearman=0.98)
        rows = {name: PartRow(law(part), 1) for name, part in parts_of_space(space).items()}
        facts = {
            "space": space.name, "space_sha256": space.sha256, "classes": space.frame.head.classes,
            "in_chans": space.frame.stem.in_chans, "device": "cpu", "processor": "Cortex-A53", "machine": "a board",
            "threads": 4, "batch": 1, "networks": 100, "seconds": 60, "offset": 0.5, "slope": 2.0,
            "held_out": held_out, "seed": 0, "date": "2026-01-01", "versions": {}, "parts": rows,
        }  # fmt: skip
        return LatencyModel(**(facts | changes))

    return make
