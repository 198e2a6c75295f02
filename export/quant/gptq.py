"""Rounding with error feedback, and what makes up for the error that is left."""

import torch
from torch import Tensor

from export.quant.layers import Weight

DAMPING = 0.01  # of the mean diagonal, as in the paper
BLOCK = 64


def gptq(weight: Tensor, curvature: Tensor, scale: Tensor, bits: int) -> Weight:
    """Return the integer weight of `weight [out, …]`, rounded column by column with error feedback.

    `curvature` is `[in, in]` = Σ x·xᵀ, `scale` `[out]`. Columns go in the order of falling curvature; each one's
    error is spread over those to come by the inverse's Cholesky factor (Frantar et al. 2023, "GPTQ", algorithm 1).
    """
    flat = weight.detach().flatten(1).double()
    inverse, order = _inverse_factor(curvature.double())
    work = flat[:, order].clone()
    levels = torch.empty_like(work)
    column, low, high = scale.double(), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for start in range(0, work.shape[1], BLOCK):  # errors reach the columns beyond a block in one product
        stop = min(start + BLOCK, work.shape[1])
        errors = torch.empty_like(work[:, start:stop])
        for index in range(start, stop):
            values = work[:, index]
            levels[:, index] = (values / column).round_().clamp_(low, high)
            error = (values - levels[:, index] * column) / inverse[index, index]
            work[:, index + 1 : stop].addr_(error, inverse[index, index + 1 : stop], alpha=-1)
            errors[:, index - start] = error
        work[:, stop:].addmm_(errors, inverse[start:stop, stop:], alpha=-1)
    restored = torch.empty_like(levels)
    restored[:, order] = levels
    return Weight(bits, restored.reshape(weight.shape).float(), scale)


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
