"""What supernet_ranking.py compares: its data, its costs, and the variants of a supernet's recipe."""

from typing import Any

MOST, COST, WITHIN = 10_000_000, 6_000_000, 0.05
IMAGES, BATCH, SUPERNET_EPOCHS = 10_000, 64, 12
LAST = {"sampler": "fair", "between": 4, "distill": False, "lr": 0.2, "batch_size": 32}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {"fixed": True},
    "labels": {"fixed": True, "distill": False},
    "more-between": {"fixed": True, "between": 4},
    "attentive": {"fixed": True, "sampler": "attentive", "target": COST},
    "drawn": {},
    "drawn-fast": {"sampler": "fair", "between": 4, "lr": 0.2},
    "drawn-labels": {"sampler": "fair", "between": 4, "distill": False, "lr": 0.2},
    "drawn-labels-32": LAST,
    "transform": {**LAST, "transform": True},
    "six-fair": {**LAST, "between": 6, "extremes": False},
    "six-fair-16": {**LAST, "between": 6, "extremes": False, "lr": 0.15, "batch_size": 16},
}
"""Name -> changes of the supernet's recipe."""
CHOSEN: str | None = "drawn-labels-32"


def data_of(path: str) -> Any:
    from nas.data import load_data

    data = load_data(f"npz:{path}")
    return data.with_part(IMAGES / len(data.train))
