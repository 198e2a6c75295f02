"""A stored float model as a folder of the Hugging Face Hub that transformers.js loads."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from export.conversion.onnx.export import INPUT, MODEL, OUTPUT, to_onnx
from export.core.errors import RequestError
from export.core.figures.fidelity import accept, compare
from export.core.records import ModelSpec, Preprocess, Verification
from export.models.weights.float_artifact import read_golden, read_model
from export.pipeline.formats import FORMATS

PIXELS = "pixel_values"  # name of the model's input in an image pipeline
FLOAT, Q8 = "onnx/model.onnx", "onnx/model_quantized.onnx"
REPORT = "report.json"
# Pillow's numbers of its filters, which `resample` means.
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
# How transformers.js' own scripts make q8: scripts/quantize.py, `quantize_q8`, unsigned weights for a model with a
# convolution; scripts/convert.py sets both options for every model that is not on its list of exceptions, on which no
# vision transformer is (github.com/huggingface/transformers.js; version 4 has moved them out, 3.8 is the last with
# them).
QUANTIZE: dict[str, Any] = {
    "per_channel": True,
    "reduce_range": True,
    "extra_options": {"EnableSubgraph": True, "MatMulConstBOnly": True},
}


@dataclass(frozen=True, slots=True)
class HubFolder:
    """How the folder's two ONNX files compare with torch on the golden inputs."""

    fp32: Verification
    q8: Verification


def write_hub_folder(artifact: Path, folder: Path) -> HubFolder:
    """Write `config.json`, `preprocessor_config.json`, the float and the q8 ONNX file, and `report.json`.

    `artifact` is the folder of a `torch` artifact, `folder` an empty one. The ONNX files take `pixel_values` float32
    [1, 3, H, W] and give `logits` float32 [1, K]; a batch fixed at one leaves the runtime less to compute than the
    Hub's files do. Raises `RequestError` for a model that is no vision transformer with classes, or whose
    preprocessing transformers.js cannot express, and `VerificationError` when a file does not agree with torch.
    """
    spec, module = read_model(artifact)
    inputs, outputs = read_golden(artifact)
    _check(spec, module)
    _write_json(folder / "config.json", config(spec))
    _write_json(folder / "preprocessor_config.json", preprocessor_config(spec))
    fp32, q8 = folder / FLOAT, folder / Q8
    fp32.parent.mkdir()
    with tempfile.TemporaryDirectory(prefix="vit-pages-peer-") as scratch:
        made = Path(scratch)
        to_onnx(module, inputs, outputs, made, name=spec.name, log=made / "log")
        _simplify(made / MODEL, fp32)
    quantize_q8(fp32, q8)
    report = HubFolder(
        fp32=_accepted("onnx", "onnx", outputs, run_pixels(fp32, inputs), f"{spec.name}: {FLOAT}"),
        q8=_accepted("safetensors", "int8", outputs, run_pixels(q8, inputs), f"{spec.name}: {Q8}"),
    )
    _write_json(folder / REPORT, {"fp32": report.fp32.to_json(), "q8": report.q8.to_json()})
    return report


def _accepted(
    format: str, edge: str, outputs: NDArray[np.float32], found: NDArray[np.float32], subject: str
) -> Verification:
    """Hold a file to the bound that a format of ours has for such a step."""
    comparison = compare(outputs, found, edge=edge, parent="torch", subject=subject)
    return accept(comparison, FORMATS[format].bounds_db[edge])


def _check(spec: ModelSpec, module: nn.Module) -> None:
    if not isinstance(module, VisionTransformer):
        raise RequestError(
            f"{spec.name}: transformers.js is compared only on ViT and DeiT models, not {type(module).__name__}",
            hint="leave this model out of the benchmark",
        )
    if spec.features:
        raise RequestError(
            f"{spec.name} has no classes, but the image-classification pipeline needs them",
            hint="leave this model out of the benchmark",
        )


def config(spec: ModelSpec) -> dict[str, Any]:
    """Return the content of `config.json`, of which the pipeline reads the model type and the labels."""
    kind = "deit" if spec.timm_name.startswith("deit") else "vit"
    return {
        "architectures": ["DeiTForImageClassification" if kind == "deit" else "ViTForImageClassification"],
        "model_type": kind,
        "image_size": spec.preprocess.size,
        "num_channels": 3,
        "num_labels": spec.outputs,
        "id2label": {str(index): label for index, label in enumerate(spec.labels)},
        "label2id": {label: index for index, label in enumerate(spec.labels)},
    }


def preprocessor_config(spec: ModelSpec) -> dict[str, Any]:
    """Return the content of `preprocessor_config.json`: resize, centre crop, scale to 0..1, normalise.

    In a browser transformers.js 4 resizes by drawing on a canvas and ignores `resample`: its tensor is close to ours,
    not equal. Raises `RequestError` for the crop mode `border`, which it lacks.
    """
    values = spec.preprocess
    return {
        "image_processor_type": "DeiTImageProcessor" if spec.timm_name.startswith("deit") else "ViTImageProcessor",
        "do_resize": True,
        "size": _size(spec.name, values),
        "resample": RESAMPLE[values.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": values.size, "width": values.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(values.mean),
        "image_std": list(values.std),
    }


def _size(name: str, values: Preprocess) -> dict[str, int]:
    scaled = math.floor(values.size / values.crop_pct)
    if values.crop_mode == "center":
        return {"shortest_edge": scaled}
    if values.crop_mode == "squash":
        return {"height": scaled, "width": scaled}
    raise RequestError(
        f"{name}: transformers.js cannot crop with the mode {values.crop_mode!r}",
        hint="leave this model out of the benchmark",
    )


def _simplify(source: Path, target: Path) -> None:
    """Fold constants with onnxsim, as the Hub's files are made, and name the input as a pipeline does."""
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(onnx.load(source))
    model.graph.input[0].name = PIXELS
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == INPUT:
                node.input[index] = PIXELS
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def quantize_q8(source: Path, target: Path) -> None:
    """Write the model with unsigned 8-bit weights, 7 bits of them used, one scale per output channel (`QUANTIZE`).

    Activations are quantized at run time, one scale per tensor. ONNX Runtime's own tool does all of it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="vit-pages-peer-") as scratch:
        inferred = Path(scratch) / "inferred.onnx"
        # Shape inference only: ONNX Runtime fuses when it loads the file.
        quant_pre_process(source, inferred, skip_optimization=True, skip_symbolic_shape=True)
        quantize_dynamic(inferred, target, weight_type=QuantType.QUInt8, **QUANTIZE)


def run_pixels(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run one of the folder's files in ONNX Runtime one image at a time: [n, 3, H, W] → [n, K]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [np.asarray(session.run([OUTPUT], {PIXELS: image[None]})[0], np.float32) for image in inputs]
    return np.concatenate(outputs)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
