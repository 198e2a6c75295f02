"""Every child is compared with its parent on the golden inputs, and refused beyond its edge's bound."""

import numpy as np
from numpy.typing import NDArray

from export.core.errors import VerificationError
from export.core.records import Verification

# Least signal-to-noise ratio of each edge in dB: `onnx` torch → ONNX, `tf` ONNX → TensorFlow, the others
# TensorFlow → TF.js with the weights stored so. Measured on randomised members of every family: float edges, which
# only reorder sums, 118 dB and more; float16 storage 60 and more; uint8 storage 28 and more, 18 to 22 where the
# weights have the heavy tails (Student's t, 5 degrees of freedom) that one scale per tensor suffers from. A broken
# graph gives about 0 dB. The room below what was measured is for trained weights with few, large activations.
# `shaped`: torch → ONNX of the same model in another shape: 118 dB and more with an exact GELU, 68 with a cheap one.
# `int8` … `int3`: float torch → integers, by the recipe's fewest bits; a model of which less is left is no use.
# `qdq`, `tflite`: integers torch → ONNX or LiteRT, of weights alone. `qdq_int8`: activations are rounded too, and a
# last bit makes one fall on the next level, which later layers pass on: 37 dB and more at 8 bits, 20 at 4 bits and
# random weights. `tflite_int8`: LiteRT rounds activations, its parent does not: 41 dB and more. `vit`: as `qdq_int8`.
BOUNDS_SQNR_DB: dict[str, float] = {
    "onnx": 80.0,
    "shaped": 50.0,
    "tf": 80.0,
    "f32": 80.0,
    "f16": 40.0,
    "u8": 10.0,
    "int8": 10.0,
    "int7": 10.0,
    "int6": 8.0,
    "int5": 5.0,
    "int4": 2.0,
    "int3": 0.0,
    "qdq": 60.0,
    "qdq_int8": 10.0,
    "tflite": 60.0,
    "tflite_int8": 10.0,
    "vit": 10.0,
}

EQUAL_DB = 200.0  # float32 itself resolves about 150 dB


def sqnr_db(parent: NDArray[np.float32], child: NDArray[np.float32]) -> float | None:
    """Return 10·log10(Σ parent² / Σ (parent − child)²), or None where both are equal bit for bit."""
    reference = parent.astype(np.float64)
    noise = float(np.square(reference - child).sum())
    if noise == 0.0:
        return None
    signal = float(np.square(reference).sum())
    return float(10 * np.log10(signal / noise)) if signal > 0.0 else float("-inf")


def compare(
    parent_outputs: NDArray[np.float32], child_outputs: NDArray[np.float32], *, edge: str, parent: str, subject: str
) -> Verification:
    """Return how far the child's outputs `[n, K]` lie from its parent's.

    `edge` chooses the bound; `parent` is the parent's format, for the record; `subject` says in messages what
    was compared. Raises `VerificationError` on outputs of another shape, on numbers that are not finite and
    beyond the bound. Top-1 agreement is reported only: with random weights it is noise.
    """
    bound = BOUNDS_SQNR_DB[edge]
    if parent_outputs.shape != child_outputs.shape or parent_outputs.ndim != 2 or len(parent_outputs) == 0:
        raise VerificationError(
            f"{subject}: the outputs are {child_outputs.shape}, those of the parent ({parent}) {parent_outputs.shape}"
        )
    for whose, outputs in (("the parent's", parent_outputs), ("the child's", child_outputs)):
        broken = int(np.count_nonzero(~np.isfinite(outputs)))
        if broken:
            raise VerificationError(
                f"{subject}: {broken} of {outputs.size} of {whose} outputs are not finite numbers",
                hint="check the model's weights for values that are not finite or overflow",
            )
    found = Verification(
        parent=parent,
        n=len(parent_outputs),
        max_abs_diff=float(np.abs(parent_outputs.astype(np.float64) - child_outputs).max()),
        sqnr_db=sqnr_db(parent_outputs, child_outputs),
        top1_agreement=float((parent_outputs.argmax(1) == child_outputs.argmax(1)).mean()),
        bound_sqnr_db=bound,
    )
    if found.sqnr_db is not None and found.sqnr_db < bound:
        raise VerificationError(
            f"{subject} does not agree with its parent ({parent}) on {found.n} golden inputs: "
            f"{found.sqnr_db:.1f} dB, the bound of this edge is {bound:.0f} dB "
            f"(largest difference {found.max_abs_diff:.3g}, top-1 agreement {found.top1_agreement:.0%})",
            hint="nothing was published; the converter's log tells what it did, a recipe with more bits loses less",
        )
    return found


def capped_sqnr_db(reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> float:
    """Return `sqnr_db` as a number in any case: at most `EQUAL_DB`, which stands for "equal bit for bit"."""
    found = sqnr_db(reference, outputs)
    return EQUAL_DB if found is None else min(EQUAL_DB, found)


def cosines(reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of the angle between each pair of rows of two `[n, K]` arrays."""
    expected, found = reference.astype(np.float64), outputs.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return np.asarray((expected * found).sum(axis=1) / lengths, np.float64)
