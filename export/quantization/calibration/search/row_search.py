"""Scale search that looks at a few rows of the output first: most candidates are out before all have been computed.

The objectives are sums over rows of errors that are 0 or more, and most of a sum is due to the few rows with the
steepest gradients. Whatever exceeds on these what the best candidate of them reaches on all rows is out for certain;
where errors are spread more evenly, whatever exceeds it there by far is out too. What is left at the end has been
computed on all rows, as by `best_candidate`: which of those is best does not depend on a sample.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from export.quantization.calibration.search.scale_search import SLACK, Loss, best_of
from export.quantization.methods import Metric

Made = TypeVar("Made")

# Until which share of the rows a candidate is computed unless it is better than so many times the best one's error.
STEPS = ((1 / 64, 4.0), (1 / 32, 2.0), (1 / 8, 1.4), (1 / 2, 1.1), (1.0, 1.0))
STEPS_OF_PRODUCTS = (
    (1 / 64, 6.0),
    (1 / 16, 3.0),
    (1 / 4, 1.3),
    (1.0, 1.0),
)  # of each image and head, which are rows of its own
LEAST_VECTORS = 64  # of channels, that are compared in a step


def take_rows(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return some rows `[count]` of `[rows, …]`, or of each matrix of `[…, rows, channels]` its own `[…, count]`.

    None are all rows.
    """
    if rows is None:
        return values
    if rows.ndim == 1:
        return values.index_select(0, rows)
    return values.gather(-2, rows[..., None].expand(*rows.shape, values.shape[-1]))


@dataclass(frozen=True)
class Target:
    """The outputs `reference` that quantized ones are compared with by a metric: `[rows, …]`.

    `gradient` is that of the metric hessian; where `keep` is a dimension, each of its indices has an error of its own.
    Those of a `product` are matrices `[images, heads, rows, channels]`, each with rows of its own.
    """

    metric: Metric
    reference: Tensor
    gradient: Tensor | None
    keep: int | None = None
    product: bool = False

    def errors(self, rows: Tensor | None) -> Callable[[Tensor], Tensor]:
        """Return the function that gives the errors of outputs of some rows, which are overwritten, as a sum."""
        gradient = None if self.gradient is None else take_rows(self.gradient, rows)
        loss = Loss(self.metric, take_rows(self.reference, rows), gradient, self.keep)
        least = -1.0 if self.metric == "cosine" else 0.0
        count = self.count if rows is None else rows.shape[-1]
        return lambda output: (loss(output) - least) * count

    @property
    def count(self) -> int:
        """The number of rows, or of each matrix's rows."""
        return self.reference.shape[-2 if self.product else 0]

    def steps(self) -> list[tuple[Tensor, float]]:
        """Return the rows of each step, with the margin behind it: those of the steepest gradients first."""
        order = self._order()
        if self.metric == "cosine" and (self.keep is not None or self.reference.shape[-1] == 1):
            # so near 1 that sums of a few say nothing, or no sum
            return [(order, 1.0)]
        count = self.count
        vectors = self.reference.numel() // self.reference.shape[-1] / count  # of a row
        steps, start = [], 0
        for share, margin in STEPS_OF_PRODUCTS if self.product else STEPS:
            stop = round(count * share)
            if (stop - start) * vectors >= LEAST_VECTORS or share == 1.0:
                steps.append((order[..., start:stop].sort(-1).values, margin))
                start = stop
        return steps

    def _order(self) -> Tensor:
        """Return the rows by falling norm of their gradient, without one at random."""
        matrices = self.reference.shape[:2] if self.product else ()
        if self.gradient is None:
            order = torch.randperm(self.count, generator=torch.Generator().manual_seed(0)).to(self.reference.device)
            return order.expand(*matrices, self.count)
        dims = [dim for dim in range(self.reference.ndim) if dim >= (3 if self.product else 1)]
        norms: Tensor = torch.linalg.vector_norm(self.gradient, dim=dims)
        return norms.argsort(-1, descending=True)


def search_rows(
    make: Callable[[Tensor], Made],
    start: Callable[[Tensor | None], Callable[[Made], Tensor]],
    candidates: Sequence[float],
    target: Target,
) -> Tensor:
    """Return the best factor, a scalar, or one for each index of the dimension that the target keeps.

    `make(factor)` makes what is tried; `start(rows)` gives the function from it to the layer's output of those rows.
    """
    device, kept = target.reference.device, [] if target.keep is None else [target.reference.shape[target.keep]]
    factors = torch.tensor(candidates, device=device)
    losses = torch.zeros(len(candidates), *kept, device=device)
    each = losses.view(len(candidates), -1)  # a column for each index that is kept
    columns, alive = torch.arange(each.shape[1], device=device), torch.ones_like(each, dtype=torch.bool)

    def errors_of(rows: Tensor | None) -> Callable[[Tensor], Tensor]:
        forward, errors = start(rows), target.errors(rows)
        return lambda chosen: errors(forward(make(factors[chosen].view(kept)))).reshape(-1)

    on_all, reached, known = errors_of(None), torch.full_like(each[0], torch.inf), torch.full_like(columns, -1)
    steps = target.steps()
    for number, (rows, margin) in enumerate(steps, 1):
        on_rows, before = errors_of(rows), each.clone()
        for chosen in _trials(alive):
            each[chosen, columns] = before[chosen, columns] + on_rows(chosen)
        each[~alive | each.isnan()] = torch.inf
        alive &= each <= each.amin(0) * margin
        if number < len(steps) and not torch.equal(known, best := each.argmin(0)):
            reached, known = reached.fmin(on_all(best)), best
        alive &= each <= reached * SLACK
        if int(alive.sum()) == len(columns):  # one of each
            break
    each[~alive] = torch.inf
    return best_of(candidates, losses)


def _trials(alive: Tensor) -> Iterator[Tensor]:
    """Yield candidates to be tried together, one for each column, until all that are alive have been: some again."""
    left = [column.nonzero().squeeze(1) for column in alive.unbind(1)]
    for index in range(max(map(len, left))):
        yield torch.stack([indices[min(index, len(indices) - 1)] for indices in left])
