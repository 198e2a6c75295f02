"""LiteRT: a recipe's integers, or floats; the runtime chooses the scales of activations."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.errors import RequestError
from export.pipeline.stage import Outcome, Stage, Tools
from export.pipeline.stages.onnx import model_of


def make(stage: Stage) -> Outcome:
    """Write `model.tflite`; raises `RequestError` for recipes that only store in fewer bits."""
    from export.conversion.litert.export import to_tflite
    from export.conversion.tensorflow import SAVED_MODEL
    from export.models.weights.float_artifact import read_golden

    if stage.recipe.quantization is None and stage.recipe.storage_dtype != "float32":
        raise RequestError(
            f"{stage.recipe.name} cannot be converted to {stage.format}", hint="choose f32, or a recipe that quantizes"
        )
    graph = next(folder for format, folder in stage.parents.items() if format.startswith("tf"))
    inputs, _ = read_golden(stage.parents["torch"])
    comparison, coverage = to_tflite(
        stage.tools(), model_of(stage), graph / SAVED_MODEL, inputs, stage.folder, name=stage.request.name
    )
    return Outcome(comparisons=(comparison,), compute_dtype=coverage.compute_dtype)


def run(folder: Path, inputs: NDArray[np.float32], tools: Tools, log: Path) -> NDArray[np.float32]:
    """Run the model with LiteRT, in the converter process: `[n, 3, H, W]` → `[n, K]`."""
    from export.conversion.litert.export import MODEL
    from export.conversion.litert.integers import run_tflite

    outputs: NDArray[np.float32] = tools().run(run_tflite, (folder / MODEL).absolute(), inputs)
    return outputs
