"""The integer artifact: the float model quantized by a recipe, on calibration images."""

import json
from typing import TYPE_CHECKING

from export.core.console import say
from export.core.environment.machine import return_freed_memory
from export.core.files import hash_bytes, hash_json
from export.core.records import ModelSpec
from export.pipeline.stage import SHARED, Outcome, Stage
from export.quantization.recipes import Quantization
from export.quantization.resources import CPU, describe_device, find_device

if TYPE_CHECKING:
    from export.data.calibration import CalibrationImages

CALIBRATION = "calibration.json"  # on which images the scales were chosen, where there were any


def options(stage: Stage) -> str:
    """Return the SHA-256 of the calibration images, or of what decides synthetic ones, which take seconds to make."""
    from export.data.embedded import embedded_for

    if stage.data is None and embedded_for(_spec(stage).labels) is None:
        calibration = _quantization(stage).calibration
        return hash_json(["synthetic", calibration.images, calibration.seed])
    return hash_bytes(_images(stage).images.tobytes())


def make(stage: Stage) -> Outcome:
    """Calibrate, write the integers, read them back."""
    from export.quantization.quantize import Places, quantize

    checkpoint = stage.workspace / f".{stage.recipe.name}.calibration"
    places = Places(checkpoint=checkpoint, shared=stage.workspace / SHARED)
    comparison = quantize(
        stage.parents["torch"],
        stage.recipe,
        _images(stage),
        stage.folder,
        places=places,
        resources=stage.resources,
        cores=stage.cores(),
        note=stage.tell,
    )
    return_freed_memory()  # of activations, which the converters can use
    if _quantization(stage).method.uses_images:
        (stage.folder / CALIBRATION).write_text(json.dumps(_images(stage).describe().to_json()) + "\n", "utf-8")
    device = find_device(stage.resources.device)
    if device.type != CPU:
        stage.tell(f"calibrated on {describe_device(device)}")
    return Outcome(comparisons=(comparison,), compute_dtype=stage.recipe.compute_dtype)


def _spec(stage: Stage) -> ModelSpec:
    return ModelSpec.read(stage.parents["torch"] / "spec.json")


def _quantization(stage: Stage) -> Quantization:
    assert stage.recipe.quantization is not None
    return stage.recipe.quantization


def _images(stage: Stage) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    if "images" not in stage.memory:
        method = _quantization(stage).method
        calibration = _quantization(stage).calibration
        if not method.uses_images:
            unused = f"; --data {stage.data} is not used" if stage.data else ""
            say(f"note: {method.name} needs no calibration images{unused}")
        data, tell = (stage.data, say) if method.uses_images else (None, _unsaid)
        stage.memory["images"] = calibration_images(_spec(stage), data, calibration.images, calibration.seed, tell)
    images: CalibrationImages = stage.memory["images"]
    return images


def _unsaid(note: str) -> None:
    """A note on images that decide nothing."""
