"""Weights files of others, damaged or made to harm: one sentence, and no memory."""

import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import nas
from nas.architecture import Architecture, Head, Stage, Stem
from nas.errors import NasError
from nas.fitting import check_channels, check_key
from nas.weights import (
    FORMAT,
    Facts,
    facts_of,
    load_network,
    read_tensors,
    read_weights,
    save_weights,
    write_tensors,
)

TINY = Architecture(Stem(8, 1, 1), (Stage("conv", 3, 8),), Head(16, 3), "swish", 8)
B0 = nas.load("efficientnet-b0").architecture


def file(tmp_path, header, content=b"", size=None):
    """A safetensors file of a header as it is written: its length, JSON, the tensors' bytes."""
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + content)
    return path


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "content", "size"),
    [
        ({}, b"", 10_000),  # longer than the file
        ({}, b"", 2**64 - 1),
        (b"{", b"", None),
        (b"[" * 1000, b"", None),
        ({"a": tensor([1], 0, 8)}, b"12345678", None),  # more bytes than the shape
        ({"a": tensor([1], 0, 4), "b": tensor([1], 0, 4)}, b"1234", None),  # overlapping
        ({"a": tensor([2], 0, 8), "b": tensor([1], 4, 8)}, b"12345678", None),
        ({"a": tensor([1], 4, 8)}, b"12345678", None),  # a hole
        ({"a": tensor([-1], 0, 4)}, b"1234", None),
        ({"a": tensor([2**62, 8], 0, 4)}, b"1234", None),  # overflows
        ({"a": tensor([2**40], 0, 2**42)}, b"1234", None),  # beyond the file
        ({"a": tensor([1], 0, 4, "X9")}, b"1234", None),
        ({"__metadata__": {"a": 3}}, b"", None),
    ],
)
def test_a_damaged_header_is_one_sentence(tmp_path, header, content, size):
    path = file(tmp_path, header, content, size)
    with pytest.raises(
        NasError, match=r"x\.safetensors: is no readable safetensors file \(.*\); give one of nas train"
    ):
        read_tensors(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(NasError, match=r"cannot be read \(a pipe.*\); give the path of a .safetensors file"):
        read_tensors(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize("shape", [[10**12, 0], [0, 16], [], [3], [3, 16, 1]])
def test_a_classifier_of_no_values_declares_no_network(tmp_path, shape):
    """10^12 classes without a value are a valid tensor, and would make a classifier of 64 TB."""
    size = 4 if shape == [] else 4 * torch.Size(shape).numel()
    path = file(tmp_path, {"classifier.weight": tensor(shape, 0, size)}, bytes(size))
    with pytest.raises(
        NasError, match=r"classifier.weight has shape \(.*\), as no classifier's has; give one of nas tr"
    ):
        load_network(TINY, path)


@pytest.mark.parametrize("shape", [[8, 10**12, 3, 0], [8, 0, 3, 3]])
def test_a_stem_of_no_values_declares_no_network(tmp_path, shape):
    path = file(tmp_path, {"stem.conv.weight": tensor(shape, 0, 0)})
    with pytest.raises(NasError, match="is of another architecture"):
        load_network(TINY, path)


def test_a_file_without_tensors_and_one_of_complex_numbers(tmp_path):
    with pytest.raises(NasError, match="is of another architecture"):
        load_network(TINY, file(tmp_path, {}))
    state = nas.build(TINY).state_dict()
    save_file(
        {name: t.to(torch.complex64) if t.ndim == 4 else t for name, t in state.items()},
        tmp_path / "c.safetensors",
    )
    with pytest.raises(
        NasError, match=r"\(stem.conv.weight is of torch.complex64 there and torch.float32 here\)"
    ):
        load_network(TINY, tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("norm_eps", '"x"'), ("norm_eps", "0"), ("norm_eps", "-1e-3"), ("norm_eps", "NaN"), ("padding", "5"),
        ("padding", '"vaild"'), ("accuracy", '"high"'), ("accuracy", "98.5"), ("epochs", "[3]"), ("key", "3"),
        ("mean", '["a"]'), ("std", "[0]"), ("class_names", '[{"a": 1}]'), ("class_names", "[" * 100_000),
        ("baseline", "tiny"),
    ],
)  # fmt: skip
def test_what_a_file_of_ours_says_is_checked(tmp_path, field, value):
    path = save_weights(nas.build(TINY), tmp_path / "x.safetensors", Facts(baseline="tiny"))
    tensors, metadata = read_tensors(path)
    save_file(tensors, path, {**metadata, field: value})
    with pytest.raises(NasError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: says that {field} is ")
    assert "which it cannot be; restore the file" in str(caught.value)
    assert facts_of({field: value}) == Facts()  # of others' files, nothing is said


def test_what_is_written_is_read(tmp_path):
    facts = Facts(
        "tiny", "digits", "cifar", 2.5, 0.75, "val", ("a", "b", "c"), 1e-5, "same", (0.5,), (0.25,), 0.9, "center",
        "bicubic", "x",
    )  # fmt: skip
    path = save_weights(nas.build(TINY), tmp_path / "x.safetensors", facts)
    metadata = read_tensors(path)[1]
    assert metadata["format"] == FORMAT
    found = read_weights(path)[1]
    assert (found.key, found.epochs, found.class_names, found.mean) == (
        TINY.key,
        2.5,
        ("a", "b", "c"),
        (0.5,),
    )
    assert (found.padding, found.norm_eps, found.accuracy, found.scored) == ("same", 1e-5, 0.75, "val")
    assert (found.crop_pct, found.crop_mode, found.interpolation, found.source) == (
        0.9,
        "center",
        "bicubic",
        "x",
    )


def test_weights_of_grey_images_are_those_of_a_baseline_for_colours(tmp_path):
    """Channels and classes are the data's, as in `nas train BASELINE --data digits`."""
    net = nas.build(B0, 10, 1)
    path = save_weights(net, tmp_path / "grey.safetensors", Facts())
    again = load_network(B0, path)
    assert (again.architecture.stem.in_chans, again.num_classes) == (1, 10)
    check_key(B0, net.architecture.key, "grey")
    with pytest.raises(NasError, match=r"^grey: wants images of 1 channels, and photos has 3; give data"):
        check_channels(dict(net.state_dict()), 3, "grey", "photos")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"activation": "relu"}, "the activation is swish there and relu here"),
        ({"stem": Stem(40, 2)}, "the stem is 32/2 there and 40/2 here"),
        ({"head": Head(None, 1000)}, "the head is 1280 there and - here"),
        ({"stages": B0.stages[:-1]}, "stage 7 is /1x1:1x1152a.3x1152ad.se48.1x320~none there and none here"),
    ],
)
def test_what_differs_of_two_architectures_is_named(change, sentence):
    with pytest.raises(NasError, match=f"^x: is of another architecture .{sentence}.; give the baseline"):
        check_key(replace(B0, **change), B0.key, "x")


def test_a_training_s_checkpoint_is_told_from_weights(tmp_path):
    write_tensors(tmp_path / "c.safetensors", {"net.a": torch.zeros(1)}, {"format": "b0nas checkpoint 1"})
    with pytest.raises(
        NasError, match=r"is a training's checkpoint, not its weights; give the NAME.safetensors"
    ):
        read_weights(tmp_path / "c.safetensors")


def test_equal_files_are_equal_to_the_byte(tmp_path):
    """safetensors writes its metadata in an order of its own, another one each time."""
    metadata = {f"name {n}": f"ä{n}" for n in range(20)}
    tensors = {"a": torch.arange(5), "b": torch.ones(2, 3)}
    for name, given in (("a", metadata), ("b", dict(reversed(metadata.items())))):
        write_tensors(tmp_path / name, tensors, given)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found, written = read_tensors(tmp_path / "a")
    assert written == metadata
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
