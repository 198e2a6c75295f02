"""The integer artifact: the float model quantized by a recipe, on calibration images."""

from typing import TYPE_CHECKING

from export.core.console import say
from export.core.files import hash_bytes
from export.core.records import ModelSpec
from export.pipeline.stage import Outcome, Stage

if TYPE_CHECKING:
    from export.data.calibration import CalibrationImages


def options(stage: Stage) -> str:
    """Return the SHA-256 of the calibration images."""
    return hash_bytes(_images(stage).images.tobytes())


def make(stage: Stage) -> Outcome:
    """Calibrate, write the integers, read them back."""
    from export.quantization.quantize import quantize

    checkpoint = stage.workspace / f".{stage.recipe.name}.calibration"
    comparison = quantize(stage.parents["torch"], stage.recipe, _images(stage), stage.folder, checkpoint)
    return Outcome(comparisons=(comparison,), compute_dtype=stage.recipe.compute_dtype)


def _images(stage: Stage) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    quantization = stage.recipe.quantization
    assert quantization is not None
    if "images" not in stage.memory:
        spec = ModelSpec.read(stage.parents["torch"] / "spec.json")
        method, calibration = quantization.method, quantization.calibration
        if not method.uses_images:
            unused = f"; --data {stage.data} is not used" if stage.data else ""
            say(f"note: {method.name} needs no calibration images{unused}")
        data, tell = (stage.data, say) if method.uses_images else (None, _unsaid)
        stage.memory["images"] = calibration_images(spec, data, calibration.images, calibration.seed, tell)
    images: CalibrationImages = stage.memory["images"]
    return images


def _unsaid(note: str) -> None:
    """A note on images that decide nothing."""
