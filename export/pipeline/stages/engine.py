"""The file of our own engine: a recipe's integers, and a plan of the layers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.conversion.engine.compile import engine_key
from export.pipeline.stage import Outcome, Stage, Tools


def options(stage: Stage) -> str:
    """Return the hash of the engine's sources: another engine runs the file anew before it is published."""
    return engine_key()


def make(stage: Stage) -> Outcome:
    """Write `model.vit`, and run it; raises `UnsupportedError` for what the engine cannot run."""
    from export.conversion.engine.export import FILE, convert_engine
    from export.models.weights.float_artifact import read_golden

    inputs, _ = read_golden(stage.parents["torch"])
    comparison = convert_engine(
        stage.parents["safetensors"], inputs, stage.folder / FILE, name=stage.request.name, log=stage.log
    )
    return Outcome(comparisons=(comparison,), compute_dtype=stage.recipe.compute_dtype)


def run(folder: Path, inputs: NDArray[np.float32], tools: Tools, log: Path) -> NDArray[np.float32]:
    """Run the model in the engine's WebAssembly: `[n, 3, H, W]` → `[n, K]`."""
    from export.conversion.engine.export import FILE
    from export.conversion.engine.run import run_engine

    return run_engine(folder / FILE, inputs, log)
