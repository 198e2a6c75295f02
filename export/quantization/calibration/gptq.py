"""GPTQ, rounding with error feedback, and ERQ's ridge regression, which compensates the error of rounded inputs."""

from typing import Any

import torch
from torch import Tensor

from export.quantization.layers.accumulation import WEIGHT_SUM_LIMIT, greatest_sums, weight_rows
from export.quantization.layers.modules import Weight

DAMPING = 0.01  # of the mean diagonal of the Hessian, as in the paper
BLOCK = 64  # columns
STRENGTHS = (1e-2, 1e-1, 1.0)  # of ridge regressions that are compared, as shares of the mean diagonal
WIDENING = 1.005  # the least factor of a scale with which the accumulation depth was not reached


def gptq(weight: Tensor, hessian: Tensor, scale: Tensor, bits: int, *, accumulation_depth: int = 0) -> Weight:
    """Return the integer weight of `weight [out, …]`, rounded column by column with error feedback.

    `hessian` is `[in, in]` = Σ x·xᵀ, `scale` `[out]`. Columns are quantized in the order of a falling diagonal
    (act-order); the error of each is compensated in the remaining columns by the inverse's Cholesky factor (Frantar et
    al. 2023, "GPTQ", algorithm 1). With an `accumulation_depth`, scales are widened until the weight allows it (see
    `accumulation`).
    """
    inverse, order = _inverse_factor(hessian.double())
    rows = weight.detach().flatten(1).double()[:, order]
    quantized, scale = torch.empty_like(weight), scale.clone()
    todo = torch.arange(len(weight), device=weight.device)
    if accumulation_depth:
        scale = scale.maximum(greatest_sums(weight_rows(weight.detach()), accumulation_depth) / WEIGHT_SUM_LIMIT)
    while len(todo):
        columns = torch.empty(len(todo), rows.shape[1], device=scale.device)
        columns[:, order] = _round_columns(rows[todo], inverse, scale[todo].double(), bits).to(columns)
        quantized[todo] = columns.reshape(-1, *weight.shape[1:])
        if not accumulation_depth:
            break
        sums = greatest_sums(weight_rows(quantized[todo]), accumulation_depth)
        scale[todo] *= torch.where(sums > WEIGHT_SUM_LIMIT, (sums / WEIGHT_SUM_LIMIT).clamp_min(WIDENING), 1)
        todo = todo[sums > WEIGHT_SUM_LIMIT]
    return Weight(bits, quantized, scale)


def _round_columns(work: Tensor, factor: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the quantized rows of `work [out, in]`; `factor` is `[in, in]`, `scale` `[out]`."""
    columns = work.T.contiguous()  # each in one piece of memory
    quantized = torch.empty_like(columns)
    for start in range(0, len(columns), BLOCK):  # errors reach the columns beyond a block in one product
        part = slice(start, start + BLOCK)
        errors = torch.empty_like(columns[part])
        block: list[Any] = [columns[part], quantized[part], errors, factor[part, part], scale]
        if not work.is_cuda:  # thousands of small steps, in which several threads would only wait for each other
            block = [tensor.numpy() for tensor in block]
        _round_block(bits, *block)
        columns[start + BLOCK :] -= factor[part, start + BLOCK :].T @ errors
    return quantized.T


def _round_block(bits: int, columns: Any, quantized: Any, errors: Any, factor: Any, scale: Any) -> None:
    """Fill `quantized` and `errors` `[columns, out]`, numpy's arrays or tensors, which share these operations."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for index in range(len(columns)):
        quantized[index] = (columns[index] / scale).round().clip(low, high)
        errors[index] = (columns[index] - quantized[index] * scale) / factor[index, index]
        columns[index + 1 :] -= factor[index, index + 1 :, None] * errors[index]


def _inverse_factor(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper Cholesky factor of the damped inverse in the order of a falling diagonal, and that order."""
    diagonal = hessian.diagonal()
    order = diagonal.argsort(descending=True)
    damping = DAMPING * diagonal.mean().clamp_min(1e-30)
    damped = hessian[order][:, order] + damping * torch.eye(len(order), dtype=torch.float64, device=hessian.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True), order


def fit(rows: Tensor, target: Tensor, weight: Tensor, importance: Tensor) -> Tensor:
    """Return the weight `[out, in]` that maps `rows [t, in]` to `target [t, out]` best, apart from their means.

    It is `weight` plus a ridge regression of what that leaves, each row counting as its `importance [t]` says. Each
    output has the strength, or none, with which a regression on the first three quarters of the rows fits the last
    quarter best.
    """
    rows, own, share = rows.double(), weight.detach().flatten(1).double(), importance.double()[:, None]
    share = share / share.sum()
    residual = target.double() - rows @ own.T
    rows, residual = ((values - (share * values).sum(0)) * share.sqrt() for values in (rows, residual))
    count = len(rows) - len(rows) // 4
    held_rows, held = rows[count:], residual[count:]
    normal, moment = rows[:count].T @ rows[:count], rows[:count].T @ residual[:count]
    errors = [held, *(held - held_rows @ _ridge(normal, moment, strength) for strength in STRENGTHS)]
    chosen = torch.stack([error.square().sum(0) for error in errors]).argmin(0)
    normal, moment = normal + held_rows.T @ held_rows, moment + held_rows.T @ held
    change = torch.zeros_like(moment)
    for index, strength in enumerate(STRENGTHS, start=1):
        outputs = chosen == index
        if bool(outputs.any()):
            change[:, outputs] = _ridge(normal, moment[:, outputs], strength)
    return (own + change.T).float()


def _ridge(normal: Tensor, moment: Tensor, strength: float) -> Tensor:
    damping = strength * normal.diagonal().mean().clamp_min(1e-30)
    damped = normal + damping * torch.eye(len(normal), dtype=normal.dtype, device=normal.device)
    return torch.cholesky_solve(moment, torch.linalg.cholesky(damped))


def ridge_update(quantized_input: Tensor, target: Tensor, weight: Tensor, strength: float) -> Tensor:
    """Return ΔW `[out, in]` with which the quantized input `[t, in]` gives the `target [t, out]` best.

    ΔW = ((XᵀX + λI)⁻¹·Xᵀ·(Y - X·Wᵀ))ᵀ with λ = `strength` times the mean diagonal of XᵀX (Zhong et al. 2024, "ERQ",
    Aqer).
    """
    rows = quantized_input.double()
    residual = target.double() - rows @ weight.detach().flatten(1).double().T
    normal = rows.T @ rows
    normal.diagonal().add_(strength * normal.diagonal().mean().clamp_min(1e-30))
    return torch.cholesky_solve(rows.T @ residual, torch.linalg.cholesky(normal)).T.float()
