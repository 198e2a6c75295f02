"""How far outputs lie from the float model's, in the figures that every table of an analysis has."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.core.figures.fidelity import capped_sqnr_db, cosines, decisions
from export.core.figures.stats import proportion
from export.core.records import Estimate
from export.quantization.evaluation.records import to_estimate


def figures(reference: Tensor, outputs: Tensor, labels: Tensor | None, *, features: bool) -> dict[str, Any]:
    """Return `sqnr_db`, mean `cosine`, `agreement` and, with labels, `top1` of outputs `[n, K]` on the CPU.

    `features` says that the outputs are an embedding, which agrees with no class.
    """
    expected, found = reference.numpy(), outputs.numpy()
    row: dict[str, Any] = {
        "sqnr_db": capped_sqnr_db(expected, found),
        "cosine": float(np.nan_to_num(cosines(expected, found)).mean()),
    }
    if features:
        return row
    row["agreement"] = share(torch.from_numpy(decisions(found) == decisions(expected)))
    return row if labels is None else row | {"top1": share(torch.from_numpy(decisions(found)) == labels)}


def share(correct: Tensor) -> Estimate:
    """Return the share of true values with its interval."""
    return to_estimate(proportion(int(correct.sum()), len(correct)))


def noise_ratio(reference: Tensor, outputs: Tensor) -> float:
    """Return Σ (outputs - reference)² / Σ reference², the inverse of the SQNR as a ratio."""
    signal = float(reference.double().square().sum())
    return float((outputs - reference).double().square().sum()) / max(signal, 1e-30)
