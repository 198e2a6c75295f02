"""ONNX that holds a recipe's integers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.pipeline.stage import Outcome, Stage, Tools
from export.pipeline.stages.onnx import model_of


def make(stage: Stage) -> Outcome:
    """Write `model.onnx`."""
    from export.conversion.onnx.export import MODEL
    from export.conversion.onnx.quantized import to_qdq
    from export.models.weights.float_artifact import read_golden

    inputs, _ = read_golden(stage.parents["torch"])
    comparison, coverage = to_qdq(
        model_of(stage), stage.parents["onnx"] / MODEL, inputs, stage.folder, name=stage.request.name
    )
    return Outcome(comparisons=(comparison,), compute_dtype=coverage.compute_dtype)


def run(folder: Path, inputs: NDArray[np.float32], tools: Tools, log: Path) -> NDArray[np.float32]:
    """Run the model in ONNX Runtime: `[n, 3, H, W]` → `[n, K]`."""
    from export.conversion.onnx.export import MODEL, run_onnx

    return run_onnx(folder / MODEL, inputs)
