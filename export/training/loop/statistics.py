"""BatchNorm's statistics, estimated again when training has ended."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from export.core.console import say
from export.training.loop.batches import AugmentedPictures

FEWEST, MOST = 256, 5000  # pictures to estimate them on
BATCH = 250


@torch.no_grad()
def estimate_statistics(module: nn.Module, pictures: AugmentedPictures) -> None:
    """Estimate BatchNorm's means and variances on training pictures as the model gets them when it is used.

    Those that training leaves are moving averages over augmented and mixed pictures (PreciseBN: Wu and Johnson, arXiv
    2105.07576, sections 3 and 5).
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not layers:
        return
    if len(pictures) < FEWEST:
        say(f"note: BatchNorm keeps the statistics of augmented pictures: {len(pictures)} are too few for others")
        return
    momenta = [layer.momentum for layer in layers]
    module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
        layer.train()
    count = min(len(pictures), MOST)
    for positions in _spread(len(pictures), count).tensor_split(-(-count // BATCH)):
        module(pictures.plain(positions))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    say(f"BatchNorm's statistics are those of {count} training pictures that are not augmented")


def _spread(total: int, count: int) -> Tensor:
    """Return so many positions, in a random order that is always the same."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count]
