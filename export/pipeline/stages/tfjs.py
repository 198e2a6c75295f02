"""TF.js graph models: one graph, or one for WebAssembly and one for GPUs over the same weights."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.pipeline.stage import Outcome, Stage, Tools


def make(stage: Stage) -> Outcome:
    """Write `model.json` and its shards, and `model_gpu.json` where there is a second graph."""
    from export.conversion.tensorflow import SAVED_MODEL
    from export.conversion.tfjs.export import to_tfjs
    from export.models.weights.float_artifact import read_golden
    from export.quantization.integer_file import FILE

    graphs = [folder / SAVED_MODEL for format, folder in stage.parents.items() if format.startswith("tf")]
    first, *others = (graph for graph in graphs if graph.is_dir())
    inputs, _ = read_golden(stage.parents["torch"])
    quantized = stage.recipe.quantization is not None
    comparisons, _ = to_tfjs(
        stage.tools(),
        first,
        inputs,
        stage.folder,
        recipe=stage.recipe.name,
        name=stage.request.name,
        integers=stage.parents["safetensors"] / FILE if quantized else None,
        for_gpu=others[0] if others else None,
        twin=stage.twin() if others else None,
    )
    return Outcome(comparisons=comparisons)


def run(folder: Path, inputs: NDArray[np.float32], tools: Tools, log: Path) -> NDArray[np.float32]:
    """Run the graph for WebAssembly with TF.js in Node: `[n, 3, H, W]` → `[n, K]`."""
    from export.conversion.tfjs.export import run_tfjs

    with TemporaryDirectory() as scratch:
        return run_tfjs(folder, inputs, Path(scratch), log)
