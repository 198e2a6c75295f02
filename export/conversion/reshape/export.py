"""torch → ONNX in the shape that a runtime likes, or as it is where the model cannot be given one."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.conversion import SHAPE_RECORD
from export.conversion.onnx.export import to_onnx
from export.conversion.reshape.model import rewrite_for_runtime
from export.core.errors import ConversionError
from export.core.fidelity import compare
from export.core.records import Verification
from export.models.float_artifact import run_model


def to_shaped_onnx(
    module: nn.Module,
    golden_inputs: NDArray[np.float32],
    golden_outputs: NDArray[np.float32],
    folder: Path,
    *,
    target: str,
    name: str,
    log: Path,
) -> tuple[Verification, str]:
    """Write `folder/model.onnx` as `to_onnx` does, of the module in the shape `target`, and `folder/shape.json`.

    `golden_outputs` are the unshaped module's, with which both the shaped one and ONNX are compared. Returns also why
    the model keeps its own shape, or "". Raises what `to_onnx` raises, and `VerificationError` when the shaped module
    does not agree with the unshaped one.
    """
    shaped, edge, reason = module, "onnx", ""
    try:
        shaped, edge = rewrite_for_runtime(module, target), "shaped"
    except ConversionError as error:
        reason = error.message
    if not reason:  # which of the two steps is wrong is told apart
        subject = f"{name}: the model in the shape {target}"
        compare(golden_outputs, run_model(shaped, golden_inputs), edge=edge, parent="torch", subject=subject)
    (folder / SHAPE_RECORD).write_text(json.dumps({"shape": target, "reason": reason or None}, indent=1) + "\n")
    return to_onnx(shaped, golden_inputs, golden_outputs, folder, name=name, log=log, edge=edge), reason
