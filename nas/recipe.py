"""How a network is trained, as a value, and its learning rate at every moment; no torch.

>>> TrainingConfig.check({"epoch": 9}, where="trial")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: trial: unknown key 'epoch' (did you mean 'epochs'?); allowed: epochs, batch_size, ...
"""

import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from nas.documents import Int, Number, Strict
from nas.reading import validate


class TrainingConfig(Strict):
    """How a network is trained; the defaults are the proxy task for small images.

    The published training of MnasNet and EfficientNet (arXiv:1807.11626, 1905.11946) is
    optimizer="rmsprop", schedule="exponential", warmup_epochs=5, weight_decay=1e-5,
    norm_momentum=0.01, ema=0.9999, label_smoothing=0.1, dropout=0.2, drop_path=0.2, over 350
    epochs with lr 0.256 for a batch of 4096 (0.016 for 256).

    Attributes:
        epochs: passes over the split.
        batch_size: images a step; the batches of an epoch are of equal size, to one image.
        optimizer: 'sgd', with Nesterov's momentum, or 'rmsprop', TensorFlow's, with decay 0.9 and epsilon 1e-3
            (`nas.optimization.RMSpropTF`).
        lr: peak learning rate, for this batch size.
        momentum: of either optimizer.
        weight_decay: L2, of weights of convolutions and linear layers; norms and biases have none.
        label_smoothing: probability spread over all classes.
        schedule: after the warm-up 'cosine', to 0, or 'exponential', x 0.97 every 2.4 epochs.
        warmup_epochs: linear, from 0.
        ema: decay of the averaged weights and batch-norm statistics, which then are the result;
            0 for none.
        clip_norm: largest norm of the gradient; 0 for none.
        norm_momentum: weight of the newest batch in batch norm's running statistics. The
            published 0.01 needs some 500 steps to forget the initial values, which a proxy has not.
        dropout: before the classifier.
        drop_path: stochastic depth of the last block, rising linearly from 0 at the first.
        accumulate: parts of a step's images whose gradients are added up one after the other, where memory
            does not hold them all at once; batch norm sees one part at a time.
        augment: 'none'; 'basic', which shifts and mirrors images in memory, and crops and mirrors those of
            folders; 'autoaugment', which transforms them by a learnt policy as well (`nas.batches`).
        amp: float16 where the device is cuda; without effect elsewhere.
        channels_last: memory format; on a CPU, too, depthwise convolutions are faster in it.
        split: 'train', scored on `val` after every epoch, or 'trainval', not scored at all.
        seed: of everything random but the initial weights, which are the caller's.
    """

    epochs: Annotated[Int, Field(ge=1)] = 8
    batch_size: Annotated[Int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "rmsprop"] = "sgd"
    lr: Annotated[Number, Field(gt=0)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    schedule: Literal["cosine", "exponential"] = "cosine"
    warmup_epochs: Annotated[Number, Field(ge=0)] = 0.5
    ema: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[Number, Field(ge=0)] = 5.0
    norm_momentum: Annotated[Number, Field(gt=0, le=1)] = 0.1
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    accumulate: Annotated[Int, Field(ge=1)] = 1
    augment: Literal["none", "basic", "autoaugment"] = "basic"
    amp: bool = True
    channels_last: bool = True
    split: Literal["train", "trainval"] = "train"
    seed: Annotated[Int, Field(ge=0, lt=2**32)] = 0

    @field_validator("augment", mode="before")
    @classmethod
    def _named(cls, augment: object) -> object:
        return {True: "basic", False: "none"}[augment] if isinstance(augment, bool) else augment

    @field_validator("accumulate")
    @classmethod
    def _divides(cls, accumulate: int, info: ValidationInfo) -> int:
        most = info.data.get("batch_size", 2) // 2
        if accumulate > most:
            raise ValueError(f"1 to {most}, so that every part has two images")
        return accumulate

    @field_validator("warmup_epochs")
    @classmethod
    def _ends(cls, warmup: float, info: ValidationInfo) -> float:
        if warmup >= info.data.get("epochs", math.inf):
            raise ValueError(f"fewer than epochs ({info.data['epochs']})")
        return warmup

    @classmethod
    def check(cls, data: object, where: str = "training") -> "TrainingConfig":
        """The config of plain data; NasError, naming `where`, for a mistake in it."""
        return validate(cls, data, where)


def learning_rate(config: TrainingConfig, epoch: float) -> float:
    """The learning rate after `epoch` epochs, a fraction within one; the loop asks at mid-step.

    >>> config = TrainingConfig(epochs=9, lr=0.4, warmup_epochs=1)
    >>> [round(learning_rate(config, epoch), 9) for epoch in (0, 0.5, 1, 5, 9)]
    [0.0, 0.2, 0.4, 0.2, 0.0]
    """
    after = epoch - config.warmup_epochs
    if after < 0:
        return config.lr * epoch / config.warmup_epochs
    if (
        config.schedule == "exponential"
    ):  # in steps that count from the first epoch on, as in the released code
        return config.lr * 0.97 ** math.floor(epoch / 2.4 + 1e-9)
    return config.lr * 0.5 * (1 + math.cos(math.pi * after / (config.epochs - config.warmup_epochs)))


def batch_count(images: int, batch_size: int) -> int:
    """Training steps of an epoch: ceil(images / batch_size), but one image is never a batch of its own."""
    return max(1, min(-(-images // batch_size), images // 2))
