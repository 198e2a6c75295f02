"""The integer artifact: the float model quantized by a recipe, on calibration images."""

from typing import TYPE_CHECKING

from export.core.files import hash_bytes
from export.core.records import ModelSpec
from export.pipeline.stage import Outcome, Stage
from export.quantization.resources import CPU, describe_device, find_device

if TYPE_CHECKING:
    from export.data.calibration import CalibrationImages


def options(stage: Stage) -> str:
    """Return the SHA-256 of the calibration images."""
    return hash_bytes(_images(stage).images.tobytes())


def make(stage: Stage) -> Outcome:
    """Calibrate, write the integers, read them back."""
    from export.quantization.quantize import quantize

    checkpoint = stage.workspace / f".{stage.recipe.name}.calibration"
    comparison = quantize(
        stage.parents["torch"], stage.recipe, _images(stage), stage.folder, checkpoint, stage.resources
    )
    device = find_device(stage.resources.device)
    if device.type != CPU:
        stage.tell(f"calibrated on {describe_device(device)}")
    return Outcome(comparisons=(comparison,), compute_dtype=stage.recipe.compute_dtype)


def _images(stage: Stage) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    quantization = stage.recipe.quantization
    assert quantization is not None
    if "images" not in stage.memory:
        spec = ModelSpec.read(stage.parents["torch"] / "spec.json")
        calibration = quantization.calibration
        stage.memory["images"] = calibration_images(spec, stage.data, calibration.images, calibration.seed)
    images: CalibrationImages = stage.memory["images"]
    return images
