"""The options of training on pictures: everything that decides the result besides the pictures and first weights."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from export.core.errors import RequestError

WARMUP_MAX = 0.1  # of all epochs, unless told otherwise
DEFAULT_HINT = "leave it out for the default; python -m export.train --help lists them"
NOISE_BITS = (0, *range(2, 9))
# The smallest and largest value of each number.
BOUNDS: dict[str, tuple[float, float]] = {
    "image_size": (1, 4096),
    "epochs": (1e-6, 1e6),
    "batch_size": (2, 65536),
    "lr": (1e-9, 100),
    "layer_decay": (0.01, 1),
    "weight_decay": (0, 100),
    "warmup_epochs": (0, 1e6),
    "smoothing": (0, 0.99),
    "crop_min": (0.01, 1),
    "jitter": (0, 1),
    "erase_prob": (0, 1),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "drop_path": (0, 0.9),
    "ema_decay": (0, 0.99999),
    "distillation": (0, 1),
    "frozen_blocks": (0, 1000),
    "seed": (0, 2**31),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTrainOptions:
    """Everything that decides the result, as the checkpoint and the model card have it.

    `arguments` are those of `timm.create_model`. `layer_decay` multiplies the learning rate from block to block towards
    the input. `mixup` and `cutmix` are the alphas of their Beta distributions, 0 for none. `distillation` is the
    teacher's share of the loss. `noise_bits` rounds the weights of a random half of the linear layers to that many bits
    in the last third of the steps (quantization noise: Fan et al., arXiv 2004.07320), 0 for never. The first
    `frozen_blocks` and what is below them stay as they are; pictures are then not augmented but mirrored and mixed.
    """

    model: str
    arguments: dict[str, Any] = field(default_factory=dict)
    image_size: int
    epochs: float = 30
    batch_size: int = 256
    optimizer: str = "adamw"
    lr: float = 5e-4
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    smoothing: float = 0.1
    crop_min: float = 0.35
    jitter: float = 0.3
    erase_prob: float = 0.1
    mixup: float = 0.2
    cutmix: float = 1.0
    drop_path: float = 0.1
    ema_decay: float = 0.998
    distillation: float = 0.0
    noise_bits: int = 0
    frozen_blocks: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                option = f"--{name.replace('_', '-')}"
                raise RequestError(f"{option} {value} must be from {low} to {high}", hint=DEFAULT_HINT)
        if self.warmup_epochs >= self.epochs:
            message = f"--warmup-epochs {self.warmup_epochs} must be less than --epochs {self.epochs}"
            raise RequestError(f"{message}: --lr is the rate at its end", hint=DEFAULT_HINT)
        if self.noise_bits not in NOISE_BITS:
            raise RequestError(f"--noise-bits {self.noise_bits} must be 0 or from 2 to 8", hint=DEFAULT_HINT)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
