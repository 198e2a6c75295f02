"""Running the file of our own engine: in the page's own scripts where Node is there to run them, else in wasmtime."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.conversion.converter_process import run_node
from export.conversion.engine.compile import make_engine
from export.core.paths import SITE

RUNNER = SITE / "tools" / "run_vit.mjs"  # of a repository; an installed package does without


def run_engine(file: Path, inputs: NDArray[np.float32], log: Path) -> NDArray[np.float32]:
    """Run the engine's file, one image at a time: `[n, 3, H, W]` → `[n, K]`; both ways give the same bits."""
    if RUNNER.is_file() and shutil.which("node"):
        with TemporaryDirectory() as scratch:
            return run_vit(file, inputs, make_engine(), Path(scratch), log)
    from export.conversion.engine.wasm import run_wasm

    return run_wasm(file, inputs, make_engine())


def run_vit(
    file: Path, inputs: NDArray[np.float32], wasm: Path, scratch: Path, log: Path, *options: str
) -> NDArray[np.float32]:
    """Run the engine's file with the page's own engine in Node, one image at a time: [n, 3, H, W] → [n, K].

    `wasm` is the folder of `make_engine`; `options` are further ones of `run_vit.mjs`.
    """
    images = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1), "<f4")
    source, target = scratch / "images.f32", scratch / "logits.f32"
    images.tofile(source)
    target.unlink(missing_ok=True)  # an earlier model's outputs
    shape = ",".join(str(size) for size in images.shape)
    arguments = ["--model", str(file), "--wasm", str(wasm), "--inputs", str(source), "--shape", shape]
    run_node(RUNNER, [*arguments, "--output", str(target), *options], log)
    return np.fromfile(target, "<f4").reshape(len(images), -1)
