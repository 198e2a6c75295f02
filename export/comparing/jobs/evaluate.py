"""One recipe on one model: its row of the evaluation. The float model's outputs are kept for the other recipes."""

from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.core.files import replacing_file
from export.core.records import ModelSpec
from export.models.weights.float_artifact import read_model
from export.quantization.evaluation.run import Evaluator, compute_outputs, open_images
from export.quantization.recipes import Recipe
from export.quantization.resources import describe_device, find_device

FLOAT = "f32"


@dataclass
class _Opened:
    """What the last job of this process had opened: the next one usually needs the same."""

    key: tuple[str, ...] = ()
    stack: ExitStack | None = None
    evaluator: Evaluator | None = None


_OPENED = _Opened()


def run(options: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the recipe in the options, and with it what describes the evaluation."""
    device = find_device(places["device"])
    evaluator = _open(options, places, device)
    recipe = options["recipe"]
    if recipe == FLOAT:
        row = evaluator.float_row(Path(places["artifact"]))
    else:
        row = evaluator.row(recipe if isinstance(recipe, str) else Recipe.from_json(recipe), device, {})
    found = {"row": row.to_json(), "machine": describe_device(device)}
    return found | _description(evaluator) if recipe == FLOAT else found


def _open(options: dict[str, Any], places: dict[str, Any], device: torch.device) -> Evaluator:
    key = (places["artifact"], places["outputs"], places["data"], places["calibration"], str(options["limit"]))
    if _OPENED.evaluator is not None and _OPENED.key == key:
        return _OPENED.evaluator
    if _OPENED.stack is not None:
        _OPENED.stack.close()
    _OPENED.evaluator, _OPENED.stack, _OPENED.key = None, ExitStack(), key
    spec, module = read_model(Path(places["artifact"]))
    images = _OPENED.stack.enter_context(open_images(spec, _path(places["data"]), options["limit"]))
    outputs = Path(places["outputs"])
    if outputs.is_file():
        found = torch.from_numpy(np.load(outputs))
    else:
        found = compute_outputs(module.to(device), spec, images.pixels, device, FLOAT)
        module.to("cpu")
        with replacing_file(outputs) as partial, partial.open("wb") as stream:
            np.save(stream, found.numpy())
    _OPENED.evaluator = Evaluator(spec, module, images, found, _path(places["calibration"]), code="")
    return _OPENED.evaluator


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _description(evaluator: Evaluator) -> dict[str, Any]:
    spec: ModelSpec = evaluator.spec
    return {
        "spec": spec.to_json(),
        "data": evaluator.images.title,
        "labelled": evaluator.images.labels is not None,
        "calibration_data": evaluator.calibration(1, 0).title,
        "n": len(evaluator.images.pixels),
        "tools": {name: version(name) for name in ("torch", "timm", "numpy")},
    }
