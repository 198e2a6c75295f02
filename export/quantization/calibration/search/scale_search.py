"""Scale search: of candidate scales the one that minimises an objective, the error of the layer's output."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Quantizer
from export.quantization.layers.rounding import MIN_SCALE, quantize_symmetric
from export.quantization.methods import Metric

BOUND_SHARE = 16  # a lower bound of a loss takes one in so many of the dimensions of the Hessian
SLACK = 1.01  # of a bound that excludes a candidate: both are computed in float32
UNFOLDED_NUMBERS = 1 << 22  # of an image batch that are in memory at once


def candidate_factors(search_range: Sequence[float], count: int) -> list[float]:
    """Return the candidates lo + i·(hi - lo)/count for i = 0 … count - 1, as multiples of the full range's scale."""
    low, high = search_range
    return [low + index * (high - low) / count for index in range(count)]


class Loss:
    """The objective minimised: how far outputs `[n, …]` of a layer lie from `reference`, the float model's.

    It is a scalar, or one value per index of the dimension `keep`. By `metric`:
    hessian is mean((g·Δ)²) with the `gradient` g (PTQ4ViT, eq. 7), mse mean(Δ²), l1 mean(|Δ|), cosine minus the mean
    cosine similarity over the last dimension, or where that is kept, or is a single output, minus the one over all
    others.
    """

    def __init__(self, metric: Metric, reference: Tensor, gradient: Tensor | None, keep: int | None = None) -> None:
        self.metric, self.reference, self.keep = metric, reference, keep
        self.dims = [dim for dim in range(reference.ndim) if dim != keep]
        self.gradient = self.offset = None
        if metric == "hessian":
            assert gradient is not None
            self.gradient, self.offset = gradient, -reference * gradient

    def __call__(self, output: Tensor) -> Tensor:
        """Return the loss of an output, which is overwritten."""
        last = self.reference.ndim - 1
        if self.metric == "cosine" and self.keep is None and self.reference.shape[last] == 1:
            return -F.cosine_similarity(self.reference.flatten(), output.flatten(), dim=0)
        if self.metric == "cosine" and self.keep == last:
            return -F.cosine_similarity(self.reference.flatten(0, -2), output.flatten(0, -2), dim=0)
        if self.metric == "cosine":
            similarity = -F.cosine_similarity(self.reference, output, dim=-1)
            return similarity.mean([dim for dim in self.dims if dim < similarity.ndim])
        if self.gradient is not None and self.offset is not None:  # g·output - g·reference in one pass
            error = torch.addcmul(self.offset, output, self.gradient, out=output)
        else:
            error = output.sub_(self.reference)
        if self.metric == "l1":
            return error.abs_().mean(self.dims)
        count = error.numel() / (1 if self.keep is None else error.shape[self.keep])
        norm: Tensor = torch.linalg.vector_norm(error, dim=self.dims)
        return norm.square() / count


def best_candidate(candidates: Sequence[float], loss: Callable[[float], Tensor]) -> Tensor:
    """Return the candidate of least loss, the first of equals: a scalar, or one for each value of the loss.

    Where none makes a difference, since the layer's output makes none, it is the one nearest to the full range.
    """
    return best_of(candidates, torch.stack([loss(candidate) for candidate in candidates]))


def best_of(candidates: Sequence[float], losses: Tensor) -> Tensor:
    """Return the candidate of least loss `[candidates, …]`, as `best_candidate` has it."""
    losses = torch.where(losses.isnan(), torch.inf, losses)
    values = torch.tensor(candidates, device=losses.device)
    indifferent = losses.amin(0) == losses.amax(0)
    return values[torch.where(indifferent, (values - 1).abs().argmin(), losses.argmin(0))]


def search_quantizer(
    make: Callable[[Tensor], Quantizer], forward: Callable[[Quantizer], Tensor], candidates: Sequence[float], loss: Loss
) -> Quantizer:
    """Return `make(factor)` for the best factor; `forward(quantizer)` gives the layer's output with it.

    Where the loss keeps a dimension (attention's heads), the factor is chosen for each of its indices apart and given
    as a vector.
    """
    device = loss.reference.device

    def trial(factor: float) -> Tensor:
        value = torch.tensor(factor, device=device)
        return loss(forward(make(value if loss.keep is None else value.expand(loss.reference.shape[loss.keep]))))

    return make(best_candidate(candidates, trial))


def input_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Return a layer's input as rows `[positions, in]` that its flattened weight `[out, in]` multiplies."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        unfolded = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return unfolded.transpose(1, 2).flatten(0, 1)
    return x.flatten(0, -2)


def input_hessian(layer: nn.Module, inputs: Tensor, sensitivity: Tensor | None) -> Tensor:
    """Return H `[in, in]` = Σ aₜ·xₜ·xₜᵀ over positions t, float64, aₜ the sensitivity of its outputs there, or 1.

    With the sensitivity this is the Kronecker factor of the layer's Fisher information in which the weights of the
    outputs drop out (Martens & Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature"): an output channel's error Δw costs Δwᵀ·H·Δw up to a constant. Without it, it is GPTQ's H.
    """
    size = layer.weight[0].numel()  # type: ignore[index, union-attr]
    total = torch.zeros(size, size, dtype=torch.float64, device=inputs.device)
    batch = max(1, UNFOLDED_NUMBERS * len(inputs) // max(1, _unfolded(layer, inputs)))
    weights = None if sensitivity is None else sensitivity / sensitivity.mean().clamp_min(MIN_SCALE)
    for start in range(0, len(inputs), batch):
        rows = input_rows(layer, inputs[start : start + batch])
        weighted = rows if weights is None else rows * weights[start : start + batch].reshape(-1, 1)
        total += (weighted.T @ rows).double()
    return total


def _unfolded(layer: nn.Module, inputs: Tensor) -> int:
    if isinstance(layer, nn.Conv2d):
        return inputs.numel() * layer.kernel_size[0] * layer.kernel_size[1]
    return inputs.numel()


def search_channel_scales(weight: Tensor, hessian: Tensor, bits: int, candidates: Sequence[float]) -> Tensor:
    """Return `[out]` scales: for each output channel the candidate with the least Δwᵀ·H·Δw.

    Where L·Lᵀ is a part of H, |Δw·L|² is a lower bound of that: a candidate whose bound exceeds what another one
    reaches is out.
    """
    flat, part = weight.detach().flatten(1), partial_factor(hessian, max(8, len(hessian) // BOUND_SHARE)).float()
    full, hessian = (flat.abs().amax(1) / (2 ** (bits - 1) - 0.5)).clamp_min(MIN_SCALE), hessian.float()

    low, high, room = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, torch.empty_like(flat)

    def error(factor: float, values: Tensor, ranges: Tensor) -> Tensor:  # of what `quantize_symmetric` makes of them
        column = (ranges * factor)[:, None]
        found = torch.div(values, column, out=room[: len(values)])
        return found.round_().clamp_(low, high).mul_(column).sub_(values)

    bounds = torch.stack([(error(factor, flat, full) @ part).square_().sum(1) for factor in candidates])
    losses, nearest = torch.full_like(bounds, torch.inf), bounds.argmin(0)
    best = torch.full_like(full, torch.inf)
    for index in [*sorted(set(nearest.tolist())), *range(len(candidates))]:  # what is likely to be best first
        worth = losses[index].isinf() & ((nearest == index) if best.isinf().any() else bounds[index] <= best * SLACK)
        rows = worth.nonzero().squeeze(1)
        if len(rows):
            found = error(candidates[index], flat[rows], full[rows])
            losses[index, rows] = ((found @ hessian) * found).sum(1)
            best = torch.minimum(best, losses[index])
    scale: Tensor = full * best_of(candidates, losses)
    return scale


def partial_factor(hessian: Tensor, rank: int) -> Tensor:
    """Return L `[in, rank]` with H - L·Lᵀ positive semidefinite: the first columns of a pivoted Cholesky factor."""
    factor = torch.zeros(len(hessian), rank, dtype=hessian.dtype, device=hessian.device)
    left = hessian.diagonal().clone()
    for index in range(rank):
        pivot = left.argmax()
        column = (hessian[:, pivot] - factor[:, :index] @ factor[pivot, :index]) / left[pivot].sqrt()
        factor[:, index] = torch.where(left[pivot] > 0, column, 0)
        left = (left - factor[:, index].square()).clamp_min_(0)
        left[pivot] = 0
    return factor


def search_channel_scales_by_loss(
    weight: Tensor, bits: int, candidates: Sequence[float], loss: Callable[[Weight], Tensor]
) -> Tensor:
    """Return `[out]` scales: for each output channel the candidate with the least `loss`, which is one by channel."""
    full = (weight.detach().flatten(1).abs().amax(1) / (2 ** (bits - 1) - 0.5)).clamp_min(MIN_SCALE)

    def trial(factor: float) -> Tensor:
        return loss(quantize_symmetric(weight, full * factor, bits))

    scale: Tensor = full * best_candidate(candidates, trial)
    return scale
