"""torch → ONNX of the model rewritten for a runtime, or as it is where it cannot be rewritten."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.conversion.onnx.export import to_onnx
from export.conversion.reshape import REWRITE_RECORD
from export.conversion.reshape.model import rewrite_for_runtime
from export.core.errors import ConversionError
from export.core.figures.fidelity import Comparison, compare
from export.models.weights.float_artifact import run_model


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How the rewritten model and its ONNX compare with the model as it was, and why it was not rewritten, or ""."""

    comparisons: tuple[Comparison, ...]
    reason: str = ""


def to_rewritten_onnx(
    module: nn.Module,
    golden_inputs: NDArray[np.float32],
    golden_outputs: NDArray[np.float32],
    folder: Path,
    *,
    target: str,
    name: str,
    log: Path,
    optional: bool = False,
) -> Rewritten:
    """Write `folder/model.onnx` as `to_onnx` does, of the module rewritten for `target`, and `folder/rewrite.json`.

    `golden_outputs` are the module's own, with which both the rewritten one and its ONNX are compared, so that it can
    be told which of the two steps is wrong. A module that cannot be rewritten is exported as it is; with `optional`,
    not at all. Raises what `to_onnx` raises.
    """
    rewritten, reason = None, ""
    try:
        rewritten = rewrite_for_runtime(module, target)
    except ConversionError as error:
        reason = error.message
    (folder / REWRITE_RECORD).write_text(
        json.dumps({"target": target, "reason": reason or None}, indent=1) + "\n", "utf-8"
    )
    if rewritten is None and optional:
        return Rewritten((), reason)
    if rewritten is None:
        return Rewritten((to_onnx(module, golden_inputs, golden_outputs, folder, name=name, log=log),), reason)
    step = compare(
        golden_outputs,
        run_model(rewritten, golden_inputs),
        edge="rewrite",
        parent="torch",
        subject=f"{name}: the model rewritten for {target}",
    )
    exported = to_onnx(rewritten, golden_inputs, golden_outputs, folder, name=name, log=log, edge="rewrite")
    return Rewritten((step, exported))
