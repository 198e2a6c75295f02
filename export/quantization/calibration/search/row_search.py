"""Scale search that looks at a few rows of the output first: most candidates are out before all have been computed.

The objectives are sums over rows of errors that are 0 or more, and of most candidates the errors of a few rows already
exceed what the best one reaches by far. What is left at the end has been computed on all rows, as by
`best_candidate`: which of those is best does not depend on a sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from export.quantization.calibration.search.scale_search import Loss, best_of
from export.quantization.methods import Metric

Made = TypeVar("Made")

# Until which share of the rows a candidate is computed unless it is better than so many times the best one's error.
STEPS = ((1 / 32, 2.0), (1 / 8, 1.4), (1 / 2, 1.1), (1.0, 1.0))
STEPS_OF_PRODUCTS = ((1 / 8, 3.0), (1 / 2, 1.2), (1.0, 1.0))  # of few rows, among which each head has its own
LEAST_VECTORS = 64  # of channels, that are compared in a step


@dataclass(frozen=True)
class Target:
    """The outputs `reference` that quantized ones are compared with by a metric; `dim` is the dimension of their rows.

    `gradient` is that of the metric hessian; where `keep` is a dimension, each of its indices has an error of its own.
    """

    metric: Metric
    reference: Tensor
    gradient: Tensor | None
    dim: int
    keep: int | None = None

    def errors(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function that gives the errors of outputs of some rows, which are overwritten, as a sum."""
        gradient = None if self.gradient is None else self.gradient.index_select(self.dim, rows)
        loss = Loss(self.metric, self.reference.index_select(self.dim, rows), gradient, self.keep)
        least = -1.0 if self.metric == "cosine" else 0.0
        return lambda output: (loss(output) - least) * len(rows)

    def steps(self) -> list[tuple[Tensor, float]]:
        """Return the rows of each step, with the margin behind it: those of the steepest gradients first."""
        count = self.reference.shape[self.dim]
        if self.gradient is None:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).to(self.reference.device)
        else:
            dims = [dim for dim in range(self.reference.ndim) if dim != self.dim % self.reference.ndim]
            order = torch.linalg.vector_norm(self.gradient, dim=dims).argsort(descending=True)
        if self.metric == "cosine" and self.keep is not None:  # so near 1 that sums of a few say nothing
            return [(order, 1.0)]
        vectors = self.reference.numel() // self.reference.shape[-1] / count  # of a row
        steps, start = [], 0
        for share, margin in STEPS if self.dim == 0 else STEPS_OF_PRODUCTS:
            stop = round(count * share)
            if (stop - start) * vectors >= LEAST_VECTORS or share == 1.0:
                steps.append((order[start:stop].sort().values, margin))
                start = stop
        return steps


def search_rows(
    make: Callable[[Tensor], Made],
    start: Callable[[Tensor], Callable[[Made], Tensor]],
    candidates: Sequence[float],
    target: Target,
) -> Tensor:
    """Return the best factor, a scalar, or one for each index of the dimension that the target keeps.

    `make(factor)` makes what is tried; `start(rows)` gives the function from it to the layer's output of those rows.
    """
    device, kept = target.reference.device, [] if target.keep is None else [target.reference.shape[target.keep]]
    losses = torch.zeros(len(candidates), *kept, device=device)
    alive = list(range(len(candidates)))
    for rows, margin in target.steps():
        forward, errors = start(rows), target.errors(rows)
        for index in alive:
            losses[index] += errors(forward(make(torch.tensor(candidates[index], device=device).expand(kept))))
        worth = losses <= losses[alive].amin(0) * margin
        out = [index for index in alive if not worth[index].any()]
        losses[out] = torch.inf
        alive = [index for index in alive if index not in out]
    return best_of(candidates, losses)
