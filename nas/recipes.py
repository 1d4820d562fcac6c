"""Published recipes of full training, as training configs; no torch.

>>> recipe("efficientnet", batch_size=256).lr
0.016
>>> recipe("efficientnet", dropout=0.5, epochs=10).dropout
0.5
"""

from typing import Any

from nas.errors import NasError, listed, near
from nas.recipe import TrainingConfig, batch_count

EFFICIENTNET: dict[str, Any] = {
    "epochs": 350, "batch_size": 256, "optimizer": "rmsprop", "momentum": 0.9, "lr": 0.016, "weight_decay": 1e-5,
    "schedule": "exponential", "warmup_epochs": 5, "norm_momentum": 0.01, "ema": 0.9999, "label_smoothing": 0.1,
    "drop_path": 0.2, "augment": "autoaugment", "clip_norm": 0,
}  # fmt: skip
"""EfficientNet (arXiv:1905.11946) section 5.2: RMSProp with decay 0.9 and momentum 0.9, batch norm momentum 0.99
(0.01 in torch's sense), weight decay 1e-5, initial learning rate 0.256 that decays by 0.97 every 2.4 epochs,
SiLU, AutoAugment, stochastic depth with survival probability 0.8, dropout from 0.2 for B0 to 0.5 for B7. From
the released code: a rate of 0.016 for 256 images (0.256 for 4096), 350 epochs, 5 of them warm-up, averaged
weights with 0.9999, label smoothing 0.1."""

MNASNET: dict[str, Any] = {**EFFICIENTNET, "drop_path": 0.0, "augment": "basic"}
"""MnasNet (arXiv:1807.11626) section 5: RMSProp with decay 0.9 and momentum 0.9, batch norm momentum 0.99, weight
decay 1e-5, dropout 0.2 on the last layer, a warm-up from 0 to 0.256 in the first 5 epochs, then 0.97 every 2.4
epochs, batches of 4K, Inception's preprocessing: crops and mirroring."""

CIFAR: dict[str, Any] = {
    "epochs": 100, "batch_size": 128, "optimizer": "sgd", "momentum": 0.9, "lr": 0.1, "weight_decay": 5e-4,
    "schedule": "cosine", "warmup_epochs": 1, "norm_momentum": 0.1, "label_smoothing": 0.1, "augment": "basic",
    "clip_norm": 5,
}  # fmt: skip
"""Ours, for small images: what the field trains CIFAR with (SGD with Nesterov's momentum, cosine, shifts and
mirroring; Zagoruyko & Komodakis 2016, arXiv:1605.07146, with a cosine for their steps)."""

TRANSFER: dict[str, Any] = {
    "epochs": 100, "batch_size": 256, "optimizer": "sgd", "momentum": 0.9, "lr": 0.0032, "weight_decay": 1e-4,
    "schedule": "cosine", "warmup_epochs": 0, "norm_momentum": 0.1, "label_smoothing": 0.0, "augment": "basic",
    "clip_norm": 0,
}  # fmt: skip
"""Fine-tuning as Kornblith et al. 2019 (arXiv:1805.08974, appendix A.5), whose settings EfficientNet section 5.3
takes: SGD with Nesterov's momentum 0.9, batches of 256, a cosine without restarts, crops and mirroring. They
train 20,000 steps with batch norm's momentum max(1 - 10/s, 0.9), s the steps of an epoch; learning rate (1e-4 to
0.1, logarithmic) and weight decay are tuned for each data set: ours are the middle of their grids, so give --lr
where it matters. Quoted from memory."""
TRANSFER_STEPS = 20_000

RECIPES: dict[str, dict[str, Any]] = {
    "efficientnet": EFFICIENTNET,
    "mnasnet": MNASNET,
    "cifar": CIFAR,
    "transfer": TRANSFER,
}


def recipe(
    name: str,
    *,
    own_dropout: float = 0.2,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    images: int | None = None,
    **other: Any,
) -> TrainingConfig:
    """The training config of a recipe.

    Args:
        own_dropout: before the classifier, the baseline's; 'cifar' and 'transfer' have none.
        epochs: instead of the recipe's; a warm-up is at most a tenth of them.
        batch_size: images a step; the learning rate goes with it.
        lr: instead of the recipe's.
        images: of the training set, from which 'transfer' has its number of epochs.
        other: fields of `TrainingConfig`, instead of the recipe's.

    Raises:
        NasError: for an unknown recipe or an impossible value.
    """
    if name not in RECIPES:
        raise NasError(f"recipe is {name!r}{near(name, RECIPES)}; allowed: {listed(RECIPES)}")
    found = dict(RECIPES[name])
    size = found["batch_size"] if batch_size is None else batch_size
    if lr is not None:
        found["lr"] = lr
    elif size > 0:  # else it is refused below
        found["lr"] = round(found["lr"] * size / found["batch_size"], 9)
    found["batch_size"] = size
    if name in ("efficientnet", "mnasnet"):
        found["dropout"] = own_dropout
    if name == "transfer" and images is not None and size > 0:
        steps = batch_count(images, size)
        found["epochs"] = max(1, round(TRANSFER_STEPS / steps))
        found["norm_momentum"] = min(10 / steps, 0.1)
    if epochs is not None:
        found["epochs"] = epochs
        found["warmup_epochs"] = min(found["warmup_epochs"], epochs / 10)
    found |= {key: value for key, value in other.items() if value is not None}
    return TrainingConfig.check(found, f"recipe {name}")


def words(name: str, config: TrainingConfig) -> str:
    """A config in a line, for a baseline's facts."""
    epochs = f"{config.epochs} epoch{'s' * (config.epochs != 1)}"
    return (
        f"{name}: {epochs} on {'train + val' if config.split == 'trainval' else 'train'}, batches of "
        f"{config.batch_size}, {config.optimizer}, lr {config.lr:g}, {config.schedule}, {config.augment} augmentation"
    )
