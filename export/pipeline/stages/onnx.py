"""ONNX: the float model, or a recipe's integers as floats, exported as it is."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.pipeline.stage import Outcome, Stage

if TYPE_CHECKING:
    from torch import nn

Images = NDArray[np.float32]


def make(stage: Stage) -> Outcome:
    """Write `model.onnx`."""
    from export.conversion.onnx.export import to_onnx

    module, inputs, outputs = plain_model(stage)
    comparison = to_onnx(module, inputs, outputs, stage.folder, name=stage.request.name, log=stage.log)
    return Outcome(comparisons=(comparison,))


def plain_model(stage: Stage) -> tuple["nn.Module", Images, Images]:
    """Return a module of plain float layers with the golden inputs `[n, 3, H, W]` and its outputs `[n, K]`."""
    stage.warm_up()  # TensorFlow takes seconds to import: that happens beside the work here
    from export.models.weights.float_artifact import read_golden, run_model
    from export.quantization.calibration.assemble import dequantized

    module = dequantized(model_of(stage))
    inputs, outputs = read_golden(stage.parents["torch"])
    return module, inputs, outputs if stage.recipe.quantization is None else run_model(module, inputs)


def model_of(stage: Stage) -> "nn.Module":
    """Return the float model, or the quantized one of the recipe."""
    if stage.recipe.quantization is None:
        from export.models.weights.float_artifact import read_model

        return read_model(stage.parents["torch"])[1]
    from export.quantization.integer_file import FILE, load_quantized

    return load_quantized(stage.parents["safetensors"] / FILE).module
