"""torch → ONNX: a fixed batch of one, checked, and run by ONNX Runtime on the golden inputs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ConversionError
from export.core.figures.fidelity import Comparison, compare

if TYPE_CHECKING:
    from torch import nn  # the converter process runs ONNX files without importing torch

MODEL = "model.onnx"
INPUT, OUTPUT = "pixels", "logits"
OPSET = 17  # the first with LayerNormalization as one operation, and the newest the next converter reads well


def to_onnx(
    module: "nn.Module",
    golden_inputs: NDArray[np.float32],
    golden_outputs: NDArray[np.float32],
    folder: Path,
    *,
    name: str,
    log: Path,
    edge: str = "onnx",
) -> Comparison:
    """Write `folder/model.onnx`: `pixels` float32 [1, 3, H, W] → `logits` float32 [1, K].

    `module` is in evaluation mode and float32; `golden_inputs` is [n, 3, H, W], `golden_outputs` [n, K] what the
    module made of them, or, with another `edge`, the one that it stands for. The exporter's warnings go to the end of
    `log`. Raises `ConversionError` when the model cannot be exported.
    """
    path = folder / MODEL
    _export(module, golden_inputs, path, name, log)
    return compare(golden_outputs, run_onnx(path, golden_inputs), edge=edge, parent="torch", subject=f"{name}: ONNX")


def run_onnx(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a model in ONNX Runtime one image at a time: [n, 3, H, W] → [n, K]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [np.asarray(session.run([OUTPUT], {INPUT: image[None]})[0], np.float32) for image in inputs]
    return np.concatenate(outputs)


def _export(module: "nn.Module", inputs: NDArray[np.float32], path: Path, name: str, log: Path) -> None:
    import onnx
    import torch

    image = torch.from_numpy(np.ascontiguousarray(inputs[:1]))
    try:
        with warnings.catch_warnings(record=True) as caught, plain_attention(module), torch.no_grad():
            warnings.simplefilter("always")
            # The tracing exporter: the newer one writes operations that onnx2tf does not read.
            torch.onnx.export(
                module,
                (image,),
                str(path),
                dynamo=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
            )
        onnx.checker.check_model(str(path), full_check=True)
    except (RuntimeError, TypeError, ValueError, onnx.checker.ValidationError, torch.onnx.OnnxExporterError) as error:
        raise ConversionError(f"{name}: torch could not write the model as ONNX: {error}") from error
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.writelines(f"torch.onnx: {warning.category.__name__}: {warning.message}\n" for warning in caught)


@contextmanager
def plain_attention(module: "nn.Module") -> Iterator[None]:
    """Let timm's attention layers multiply and normalise in the open: their fused call has no ONNX equivalent."""
    fused = [layer for layer in module.modules() if getattr(layer, "fused_attn", False)]
    for layer in fused:
        layer.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in fused:
            layer.fused_attn = True  # type: ignore[assignment]
