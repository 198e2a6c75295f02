"""Fidelity: how far a child artifact's outputs lie from its parent's, and whether that is within its bound."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.core.errors import VerificationError
from export.core.records import Verification

if TYPE_CHECKING:  # NumPy is imported where it is used: a build that makes nothing needs none
    import numpy as np
    from numpy.typing import NDArray

    Outputs = NDArray[np.float32]

EQUAL_DB = 200.0  # float32 itself resolves about 150 dB


def sqnr_db(parent: "Outputs", child: "Outputs") -> float | None:
    """Return 10·log10(Σ parent² / Σ (parent − child)²), or None where both are equal bit for bit.

    Raises `VerificationError` where that is no number, since an output is none.
    """
    import numpy as np

    reference = parent.astype(np.float64)
    noise = float(np.square(reference - child).sum())
    if not np.isfinite(noise):
        raise VerificationError("outputs are NaN or infinite, so there is no SQNR")
    if noise == 0.0:
        return None
    signal = float(np.square(reference).sum())
    return float(10 * np.log10(signal / noise)) if signal > 0.0 else float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far a child's outputs lie from its parent's on `n` golden inputs, before that is held to a bound.

    `edge` names the bound, `parent` the parent's format; `subject` says in messages what was compared. The figures are
    those of `Verification`.
    """

    edge: str
    parent: str
    subject: str
    n: int
    max_abs_diff: float
    sqnr_db: float | None
    top1_agreement: float


def compare(parent_outputs: "Outputs", child_outputs: "Outputs", *, edge: str, parent: str, subject: str) -> Comparison:
    """Return how far the child's outputs `[n, K]` lie from its parent's.

    Raises `VerificationError` on outputs of another shape and on numbers that are not finite. Whether the rest is good
    enough, `accept` says.
    """
    import numpy as np

    if parent_outputs.shape != child_outputs.shape or parent_outputs.ndim != 2 or len(parent_outputs) == 0:
        raise VerificationError(
            f"{subject}: outputs of shape {child_outputs.shape}, those of the parent ({parent}) {parent_outputs.shape}"
        )
    for whose, outputs in (("the parent's", parent_outputs), ("the child's", child_outputs)):
        broken = int(np.count_nonzero(~np.isfinite(outputs)))
        if broken:
            raise VerificationError(
                f"{subject}: {broken} of {outputs.size} of {whose} outputs are NaN or infinite",
                hint="check the model's weights for NaN, infinite or very large values",
            )
    return Comparison(
        edge=edge,
        parent=parent,
        subject=subject,
        n=len(parent_outputs),
        max_abs_diff=float(np.abs(parent_outputs.astype(np.float64) - child_outputs).max()),
        sqnr_db=sqnr_db(parent_outputs, child_outputs),
        top1_agreement=float((decisions(parent_outputs) == decisions(child_outputs)).mean()),
    )


def decisions(outputs: "Outputs") -> "NDArray[np.int64]":
    """Return what each row of `[n, K]` decides for: its largest output, or for a single one whether it is positive."""
    import numpy as np

    return np.asarray(outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(1), np.int64)


def accept(comparison: Comparison, bound_sqnr_db: float) -> Verification:
    """Return the record of a comparison within its bound in dB; raises `VerificationError` for one beyond it.

    Top-1 agreement is reported only: with random weights it is noise.
    """
    found = comparison.sqnr_db
    if found is not None and found < bound_sqnr_db:
        shown = math.floor(10 * found) / 10 if math.isfinite(found) else found  # never rounded up to the bound
        raise VerificationError(
            f"{comparison.subject} does not agree with its parent ({comparison.parent}) on {comparison.n} golden "
            f"inputs: SQNR {shown:.1f} dB, the bound is {bound_sqnr_db:g} dB (largest difference "
            f"{comparison.max_abs_diff:.3g}, top-1 agreement {comparison.top1_agreement:.0%})",
            hint="nothing was published; see the converter's log, or choose a recipe with more bits",
        )
    return Verification(
        edge=comparison.edge,
        parent=comparison.parent,
        n=comparison.n,
        max_abs_diff=comparison.max_abs_diff,
        sqnr_db=found,
        top1_agreement=comparison.top1_agreement,
        bound_sqnr_db=bound_sqnr_db,
    )


def capped_sqnr_db(reference: "Outputs", outputs: "Outputs") -> float:
    """Return `sqnr_db` as a number in any case: at most `EQUAL_DB`, which stands for "equal bit for bit"."""
    found = sqnr_db(reference, outputs)
    return EQUAL_DB if found is None else min(EQUAL_DB, found)


def cosines(reference: "Outputs", outputs: "Outputs") -> "NDArray[np.float64]":
    """Return the cosine of the angle between each pair of rows of two `[n, K]` arrays."""
    import numpy as np

    expected, found = reference.astype(np.float64), outputs.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return np.asarray((expected * found).sum(axis=1) / lengths, np.float64)
