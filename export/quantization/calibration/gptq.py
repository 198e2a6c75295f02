"""Rounding with error feedback, and what makes up for the error that is left."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.quantization.layers.accumulation import MOST, greatest_sums, in_rows
from export.quantization.layers.modules import Weight

Doubles = NDArray[np.float64]
DAMPING = 0.01  # of the mean diagonal, as in the paper
BLOCK = 64
WIDER = 1.005  # the least factor of a scale that did not leave room


def gptq(weight: Tensor, curvature: Tensor, scale: Tensor, bits: int, *, run: int = 0) -> Weight:
    """Return the integer weight of `weight [out, …]`, rounded column by column with error feedback.

    `curvature` is `[in, in]` = Σ x·xᵀ, `scale` `[out]`. Columns go in the order of falling curvature; each one's
    error is spread over those to come by the inverse's Cholesky factor (Frantar et al. 2023, "GPTQ", algorithm 1).
    With a `run`, scales are widened where the levels leave no room for one of so many steps (`runs.py`).
    """
    inverse, order = _inverse_factor(curvature.double())
    rows = weight.detach().flatten(1).double()[:, order].cpu()
    levels, scale, todo = torch.empty_like(weight), scale.clone(), torch.arange(len(weight))
    if run:
        scale = scale.maximum(greatest_sums(in_rows(weight.detach()), run) / MOST)
    while len(todo):
        found = torch.empty(len(todo), rows.shape[1], device=scale.device)
        rounded = _round(rows[todo].numpy(), inverse.cpu().numpy(), scale[todo].double().cpu().numpy(), bits)
        found[:, order] = torch.from_numpy(rounded).to(found)
        levels[todo] = found.reshape(-1, *weight.shape[1:])
        if not run:
            break
        sums = greatest_sums(in_rows(levels[todo]), run)
        scale[todo] *= torch.where(sums > MOST, (sums / MOST).clamp_min(WIDER), 1)
        todo = todo[(sums > MOST).cpu()]
    return Weight(bits, levels, scale)


def _round(work: Doubles, factor: Doubles, column: Doubles, bits: int) -> Doubles:
    """Return the levels of rows `work [out, in]`, which is used up; `column` `[out]` are their scales."""
    # numpy: thousands of small steps, each of which several threads would only wait for each other in
    levels, low, high = np.empty_like(work), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for start in range(0, work.shape[1], BLOCK):  # errors reach the columns beyond a block in one product
        stop = min(start + BLOCK, work.shape[1])
        errors = np.empty((len(work), stop - start))
        for index in range(start, stop):
            values = work[:, index]
            levels[:, index] = np.clip(np.rint(values / column), low, high)
            error = (values - levels[:, index] * column) / factor[index, index]
            work[:, index + 1 : stop] -= np.outer(error, factor[index, index + 1 : stop])
            errors[:, index - start] = error
        work[:, stop:] -= errors @ factor[start:stop, stop:]
    return levels


def _inverse_factor(curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper Cholesky factor of the damped inverse in the order of falling curvature, and that order."""
    diagonal = curvature.diagonal()
    order = diagonal.argsort(descending=True)
    damping = DAMPING * diagonal.mean().clamp_min(1e-30)
    damped = curvature[order][:, order] + damping * torch.eye(len(order), dtype=torch.float64, device=curvature.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True), order


def ridge_step(rounded: Tensor, target: Tensor, weight: Tensor, strength: float) -> Tensor:
    """Return ΔW `[out, in]` that makes rounded inputs `[t, in]` give `target [t, out]` best.

    ΔW = ((XᵀX + λI)⁻¹·Xᵀ·(Y - X·Wᵀ))ᵀ with λ = `strength` times the mean diagonal of XᵀX (Zhong et al. 2024, "ERQ",
    Aqer).
    """
    rows = rounded.double()
    residual = target.double() - rows @ weight.detach().flatten(1).double().T
    curvature = rows.T @ rows
    curvature.diagonal().add_(strength * curvature.diagonal().mean().clamp_min(1e-30))
    return torch.cholesky_solve(rows.T @ residual, torch.linalg.cholesky(curvature)).T.float()
