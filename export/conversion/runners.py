"""Every format that a page loads, run by the build itself."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ConversionError

if TYPE_CHECKING:
    from export.conversion.converter_process import ConverterProcess

Inputs = NDArray[np.float32]
Outputs = NDArray[np.float32]
Tools = Callable[[], "ConverterProcess"]
Runner = Callable[[Path, Inputs, Tools, Path], Outputs]


def _tfjs(folder: Path, inputs: Inputs, tools: Tools, log: Path) -> Outputs:
    from export.conversion.tfjs.export import run_tfjs

    with TemporaryDirectory() as scratch:
        return run_tfjs(folder, inputs, Path(scratch), log)


def _qdq(folder: Path, inputs: Inputs, tools: Tools, log: Path) -> Outputs:
    from export.conversion.onnx.export import MODEL, run_onnx

    return run_onnx(folder / MODEL, inputs)


def _tflite(folder: Path, inputs: Inputs, tools: Tools, log: Path) -> Outputs:
    from export.conversion.litert.export import MODEL
    from export.conversion.litert.integers import run_tflite

    found: Outputs = tools().run(run_tflite, (folder / MODEL).absolute(), inputs)
    return found


def _vit(folder: Path, inputs: Inputs, tools: Tools, log: Path) -> Outputs:
    from export.conversion.engine.compile import make_engine
    from export.conversion.engine.export import FILE, run_vit

    with TemporaryDirectory() as scratch:
        return run_vit(folder / FILE, inputs, make_engine(), Path(scratch), log)


RUNNERS: dict[str, Runner] = {"tfjs": _tfjs, "qdq": _qdq, "tflite": _tflite, "vit": _vit}


def run_artifact(format: str, folder: Path, inputs: Inputs, tools: Tools, log: Path) -> Outputs:
    """Run an artifact on inputs `[n, 3, H, W]` one at a time and return outputs `[n, K]`.

    What follows `_` in a format's name tells how it was made, not how it is run. `tools` gives the converter process to
    those that need it. Raises `ConversionError` for a format that nothing here runs.
    """
    runner = RUNNERS.get(format.partition("_")[0])
    if runner is None:
        raise ConversionError(
            f"nothing runs the format {format} here, so no page could test a back end with it",
            hint=f"formats that are run: {', '.join(RUNNERS)}",
        )
    return runner(folder, inputs, tools, log)
