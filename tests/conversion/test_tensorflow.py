"""ONNX to TensorFlow: without onnx2tf's search for transpositions where that is right, with it where it is not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from families import Chain
from tiny import tiny

from export.conversion import tensorflow
from export.conversion.converter_process import ConverterProcess
from export.conversion.litert.integers import run_tflite, write_tflite
from export.conversion.onnx.export import MODEL, to_onnx
from export.conversion.tfjs.gpu_graph import read_gpu_graph, write_gpu_graph
from export.conversion.tfjs.graph_model import write_graph_model
from export.models.weights.float_artifact import run_model

pytestmark = pytest.mark.conversion


@pytest.mark.parametrize(
    ("enough_db", "said"), [(60.0, []), (1e9, ["converted again, with onnx2tf's search for transpositions"])]
)
def test_what_is_not_right_is_converted_again_with_the_search_and_said(
    enough_db: float, said: list[str], tools: ConverterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow, "RIGHT_SQNR_DB", enough_db)
    _, module, images = tiny("vit")
    inputs, notes = images[:2].numpy(), []
    for name in ("onnx", "tf"):
        (tmp_path / name).mkdir()
    to_onnx(module, inputs, run_model(module, inputs), tmp_path / "onnx", name="vit", log=tools.log)
    found = tensorflow.to_tf(tools, tmp_path / "onnx" / MODEL, inputs, tmp_path / "tf", name="vit", tell=notes.append)
    assert (found.sqnr_db is None or found.sqnr_db > 80) and notes == said
    assert (tmp_path / "tf" / tensorflow.SAVED_MODEL / "saved_model.pb").is_file()


def test_a_model_has_the_same_bytes_whatever_was_converted_before(
    chain: Callable[[str], Chain], tools: ConverterProcess, tmp_path: Path
) -> None:
    model = chain("vit").folder
    tensorflow.to_tf(tools, model / "onnx" / MODEL, chain("vit").inputs, tmp_path, name="vit")
    for file in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        first, second = (folder / tensorflow.SAVED_MODEL / file for folder in (model / "tf", tmp_path))
        assert first.read_bytes() == second.read_bytes(), file


@pytest.mark.parametrize(
    "function",
    [
        *(tensorflow.simplify, tensorflow.convert, tensorflow.run_both, tensorflow.run_tf),
        *(write_graph_model, read_gpu_graph, write_gpu_graph, write_tflite, run_tflite),
    ],
    ids=lambda function: function.__name__,
)
def test_what_the_converter_process_calls_needs_no_pytorch(function: Callable[..., object]) -> None:
    code = f"import sys, {function.__module__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
