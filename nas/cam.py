"""Class activation maps: where in an image a network sees its class (Zhou et al. 2016, arXiv:1512.04150).

The last feature map f is averaged over its pixels before the classifier, so that the weights w of class c
say of every pixel what it adds to the logit: M_c(x, y) = sum_k w_k^c f_k(x, y), whose mean over the pixels is the
logit without its bias.

>>> import nas
>>> net = nas.build(nas.load("efficientnet-b0").architecture, num_classes=3).eval()
>>> found = activation_maps(net, torch.zeros(1, 3, 64, 64))
>>> tuple(found.maps.shape), found.classes.shape == found.probabilities.shape == (1,)
((1, 2, 2), True)
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nas.decoding import IMAGENET
from nas.errors import NasError
from nas.files import check_file
from nas.images import check_whole, decoded
from nas.network import Network
from nas.sources import first_line
from nas.weights import Facts

MODES = {1: "L", 3: "RGB"}
"""Channels of a network -> Pillow's mode of the images it takes."""


class Maps(NamedTuple):
    """One class of each of N images.

    Attributes:
        maps: (N, h, w), as large as the network's last feature map.
        classes: (N,) which class.
        probabilities: (N,) of that class, in [0, 1].
    """

    maps: Tensor
    classes: Tensor
    probabilities: Tensor


def activation_maps(net: Network, images: Tensor, classes: Tensor | None = None) -> Maps:
    """The maps of `classes` (N,), by default of the predicted ones, for normalized images (N, C, H, W).

    The network is in eval mode afterwards.
    """
    with torch.no_grad():
        features = net.eval().forward_features(images)
        logits = net.forward_head(features)
        chosen = logits.argmax(1) if classes is None else classes
        weight = _weights(net, features, chosen)
        maps = torch.einsum("nkhw,nk->nhw", features, weight)
        probabilities = logits.softmax(1).gather(1, chosen[:, None])[:, 0]
    return Maps(maps, chosen, probabilities)


def _weights(net: Network, features: Tensor, classes: Tensor) -> Tensor:
    """What a pixel of each feature adds to the logit of a class, (N, num_features).

    The classifier's weights; behind a hidden layer (MobileNetV3) what the logit gains at these features, as Grad-CAM
    has it (Selvaraju et al. 2017, arXiv:1610.02391), which for a classifier alone is the same.
    """
    if isinstance(net.hidden, nn.Identity):
        return net.get_classifier().weight.flatten(1)[classes]  # type: ignore[union-attr, operator]
    with torch.enable_grad():
        pooled = features.mean((2, 3)).requires_grad_()
        logits = net.get_classifier()(net.hidden(pooled)).gather(1, classes[:, None])
        return torch.autograd.grad(logits.sum(), pooled)[0]


def upsampled(maps: Tensor, pixels: int) -> np.ndarray:
    """Maps (N, h, w) at the size of the image, bilinear: (N, pixels, pixels), each from 0 (its least) to 1."""
    large = F.interpolate(maps[:, None], (pixels, pixels), mode="bilinear", align_corners=False)[:, 0]
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    return ((large - low) / (high - low).clamp(min=1e-12)).numpy()


def read_image(path: Path) -> Image.Image:
    """An image file, decoded.

    Raises:
        NasError: for a file that is missing or no image.
    """
    check_file(path, f"--images: {path}", "give paths such as a.jpg,b.png")
    try:
        check_whole(path)
        return decoded(path)
    except Exception as error:  # PIL raises a dozen kinds
        raise NasError(
            f"--images: {path}: not a readable image ({first_line(error)}); give JPEG or PNG files"
        ) from None


def framed(image: Image.Image, pixels: int, whole: bool) -> Image.Image:
    """The square in the middle at `pixels`: all of the shorter side, or 224/256 of it as in ImageNet's tests."""
    from torchvision.transforms import v2

    side = pixels if whole else round(pixels * 256 / 224)
    return v2.CenterCrop(pixels)(v2.Resize(side)(image))


def sees_whole(facts: Facts) -> bool:
    """Whether weights were trained on whole images, as arrays are; folders and ImageNet are cropped."""
    return bool(facts.data) and not facts.data.startswith(("folder:", "imagenet"))


def prepared(image: Image.Image, net: Network, facts: Facts, where: str) -> Tensor:
    """An image as the network was trained on them: (1, C, resolution, resolution), normalized as the weights
    say, else as ImageNet's are.

    Raises:
        NasError: for a network of other channels than 1 or 3, or weights that do not say how to normalize
            a single one.
    """
    arch = net.architecture
    channels = arch.stem.in_chans
    if channels not in MODES:
        raise NasError(f"{where}: takes {channels} channels, and image files have 1 or 3; leave --images out")
    mean, std = facts.mean, facts.std
    if not len(mean) == len(std) == channels:
        if channels != len(IMAGENET[0]):
            raise NasError(
                f"{where}: does not say how images of 1 channel are normalized (mean, std); give weights of nas train"
            )
        mean, std = IMAGENET
    pixels = np.asarray(
        framed(image.convert(MODES[channels]), arch.resolution, sees_whole(facts)), np.float32
    )
    x = (
        torch.from_numpy(pixels / 255)
        .reshape(1, arch.resolution, arch.resolution, channels)
        .permute(0, 3, 1, 2)
    )
    return (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
