"""ONNX → TensorFlow: onnx2tf's conversion, saved as a SavedModel with images in NHWC order."""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from export.conversion.converter_process import Converter
from export.conversion.saved_model import number_functions
from export.core.console import say
from export.core.errors import ConversionError
from export.core.figures.fidelity import Comparison, capped_sqnr_db, compare
from export.core.files import hash_bytes, hash_file, hash_json

SAVED_MODEL = "saved_model"
INPUT, OUTPUT = "pixels", "logits"
SIGNATURE = "serving_default"
RIGHT_SQNR_DB = 60.0  # float32 against float32: whatever is transposed wrongly lies far below
# onnx2tf looks for this file in its working folder and downloads it when it is not there.
CALIBRATION = "calibration_image_sample_data_20x128x128x3_float32.npy"
CALIBRATION_SHAPE = (20, 128, 128, 3)
KNOWN_OUTPUTS = 8  # of SavedModels, each of which several files are compared with
_KNOWN: dict[str, NDArray[np.float32]] = {}


def to_tf(
    tools: Converter,
    onnx_model: Path,
    golden_inputs: NDArray[np.float32],
    folder: Path,
    *,
    name: str,
    tell: Callable[[str], None] = say,
) -> Comparison:
    """Write `folder/saved_model`: `pixels` float32 [1, H, W, 3] → `logits` float32 [1, K].

    `golden_inputs` is [n, 3, H, W]. onnx2tf's own search for transpositions runs the graph once for every operator,
    which takes most of its time; it is left to models that are not converted rightly without it, and `tell` is told.
    Raises `ConversionError` when a tool fails.
    """
    target = (folder / SAVED_MODEL).absolute()
    for searched in (False, True):
        shutil.rmtree(target, ignore_errors=True)
        tools.run(simplify, onnx_model.absolute(), tools.scratch / "simplified.onnx")
        tools.run(convert, tools.scratch / "simplified.onnx", target, searched)
        parent, child = tools.run(run_both, onnx_model.absolute(), target, golden_inputs)
        same_shape = parent.shape == child.shape
        if searched or (same_shape and capped_sqnr_db(parent, child) >= RIGHT_SQNR_DB):
            break
        tell("converted again, with onnx2tf's search for transpositions")
    return compare(parent, child, edge="tf", parent="onnx", subject=f"{name}: TensorFlow")


def simplify(source: Path, target: Path) -> None:
    """Fold constants and fuse what can be; onnx2tf needs the result (and would otherwise overwrite its input)."""
    import onnx
    import onnxsim

    simplified, _ = onnxsim.simplify(str(source))  # its own check is not needed: the outcome is compared with `source`
    onnx.save(simplified, str(target))


def convert(source: Path, target: Path, searched: bool) -> None:
    """Convert a simplified ONNX file, which may be overwritten, and save what serves one image.

    `searched` says whether onnx2tf compares every operator with ONNX to find its transpositions.
    """
    import onnx2tf
    import tensorflow as tf
    import tf_keras  # type: ignore[import-untyped]

    np.save(source.parent / CALIBRATION, np.random.default_rng(0).random(CALIBRATION_SHAPE, dtype=np.float32))
    tf_keras.backend.clear_session()  # its counters name the nodes: the first model's names for every model
    with nullcontext() if searched else _quick():
        model = onnx2tf.convert(
            input_onnx_file_path=str(source),
            output_folder_path=str(source.parent / "onnx2tf"),
            not_use_onnxsim=True,
            disable_model_save=True,
            non_verbose=True,
        )
    (pixels,), (logits,) = model.inputs, model.outputs
    serve = tf.function(
        lambda pixels: {OUTPUT: model(pixels)}, input_signature=[tf.TensorSpec(pixels.shape, tf.float32, INPUT)]
    )
    if logits.shape.rank != 2 or pixels.shape[-1] != 3:
        raise ConversionError(f"onnx2tf made {pixels.shape} → {logits.shape} of {source}, not [1, H, W, 3] → [1, K]")
    served = tf.Module()
    served.weights = model.weights  # a SavedModel keeps the variables of what it tracks; Keras' own trace is not wanted
    tf.saved_model.save(served, str(target), signatures={SIGNATURE: serve})
    (target / "fingerprint.pb").unlink(missing_ok=True)  # a random number
    number_functions(target)


@contextmanager
def _quick() -> Iterator[None]:
    """Let onnx2tf neither compare operators with ONNX nor ask TensorFlow for ranks that are known.

    It has no outputs of the ONNX graph's operators then. Every rank that it asks for is one more operation of a graph
    that is left out in the end, and all of them take a third of its time.
    """
    import tensorflow as tf
    from tf_keras import backend

    def no_outputs(**options: Any) -> Never:
        raise RuntimeError("the operators are not compared")

    def known_rank(input: Any, name: str | None = None) -> Any:
        known = input.shape.rank if backend.is_keras_tensor(input) else None
        return rank(input, name) if known is None else known

    module: Any = importlib.import_module("onnx2tf.onnx2tf")
    inference, module.dummy_onnx_inference = module.dummy_onnx_inference, no_outputs
    rank, tf.rank = tf.rank, known_rank
    try:
        yield
    finally:
        module.dummy_onnx_inference, tf.rank = inference, rank


def run_both(
    onnx_model: Path, saved_model: Path, inputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run parent and child on the same images; [n, 3, H, W] → two times [n, K]."""
    from export.conversion.onnx.export import run_onnx

    return run_onnx(onnx_model, inputs), run_tf(saved_model, inputs)


def run_tf(saved_model: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a SavedModel one image at a time: [n, 3, H, W] → [n, K]; what was run before is known, by its bytes."""
    key = hash_json([hash_bytes(inputs.tobytes()), *(hash_file(path) for path in _files(saved_model))])
    if key not in _KNOWN:
        if len(_KNOWN) == KNOWN_OUTPUTS:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[key] = _run(saved_model, inputs)
    return _KNOWN[key]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _run(saved_model: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    import tensorflow as tf

    serve: Any = tf.saved_model.load(str(saved_model)).signatures[SIGNATURE]
    images = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
    return np.concatenate([serve(**{INPUT: tf.constant(image[None])})[OUTPUT].numpy() for image in images])
