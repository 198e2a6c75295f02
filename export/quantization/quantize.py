"""The stage from a float artifact to an integer one: calibrate, write, read back, compare."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export.core.console import bar, say
from export.core.errors import RequestError, VerificationError
from export.core.figures.fidelity import Comparison, compare
from export.core.records import ModelSpec
from export.data.calibration import CalibrationImages
from export.models.weights.float_artifact import SPEC, read_golden, read_model, run_model
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.kept.activation_store import ActivationStore
from export.quantization.calibration.kept.sensitivity_cache import SensitivityCache
from export.quantization.calibration.qparams import CalibrationCheckpoint, key_of
from export.quantization.integer_file import FILE, QuantizedModel, load_quantized, write_quantized
from export.quantization.recipes import Recipe
from export.quantization.resources import CPU, Resources, find_device, memory_budget

RECIPE = "recipe.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where calibration keeps what is no result.

    The file `checkpoint` has the choices made so far, until the result is written; the folder `shared` what other
    recipes of the model can use, until the build ends, and what does not fit into memory.
    """

    checkpoint: Path
    shared: Path


def quantize(
    parent: Path,
    recipe: Recipe,
    images: CalibrationImages,
    folder: Path,
    *,
    places: Places,
    resources: Resources,
    cores: int,
    note: Callable[[str], None] = say,
) -> Comparison:
    """Write `model.safetensors` and `recipe.json` into `folder` from the float artifact in `parent`, and verify them.

    No more than `cores` processors are kept busy; `note` is told what a person should know. Raises what `calibrate`
    does and `VerificationError` when the file does not give what was calibrated.
    """
    spec = ModelSpec.read(parent / SPEC)
    place = find_device(resources.device)
    if resources.memory is not None and place.type != CPU:
        raise RequestError("--memory bounds main memory, but this calibration runs on a GPU", hint="add --device cpu")
    activations = ActivationStore(memory_budget(resources), places.shared)
    calibration = torch.from_numpy(images.images).to(place)
    key = key_of(json.dumps(recipe.to_json()), spec.weights_sha256, images=calibration)
    store = CalibrationCheckpoint(places.checkpoint, key)
    with bar(recipe.name, unit="layer") as drawn, threads(cores):

        def tell(done: int, total: int, name: str) -> None:
            drawn.total = total
            drawn.update(done - drawn.n)
            drawn.set_postfix_str(name, refresh=False)

        calibrated = calibrate(
            read_model(parent)[1].to(place),
            recipe,
            calibration,
            features=spec.features,
            independent=spec.probabilities == "sigmoid",
            tell=tell,
            checkpoint=store,
            cache=SensitivityCache(places.shared),
            store=activations,
        ).cpu()
    if activations.spilled:
        note(activations.note())
    write_quantized(QuantizedModel(spec, recipe, calibrated), folder / FILE)
    (folder / RECIPE).write_text(json.dumps(recipe.to_json(), indent=1) + "\n", "utf-8")
    comparison = verify_quantized(spec, recipe, calibrated, parent, folder / FILE)
    store.remove()
    return comparison


@contextmanager
def threads(cores: int) -> Iterator[None]:
    """Let PyTorch use at most so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, cores))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def verify_quantized(
    spec: ModelSpec, recipe: Recipe, calibrated: torch.nn.Module, parent: Path, file: Path
) -> Comparison:
    """Return how far the file's model lies from the float one; raises `VerificationError` if it is not `calibrated`."""
    inputs, outputs = read_golden(parent)
    found = run_model(load_quantized(file).module, inputs)
    expected = run_model(calibrated, inputs)
    if not np.array_equal(found, expected):
        raise VerificationError(
            f"{spec.name}: the integer file's outputs differ from those of the model it was written from "
            f"(largest difference {np.abs(found - expected).max():.3g})"
        )
    return compare(outputs, found, edge=edge_of(recipe), parent="torch", subject=f"{spec.name}: {recipe.name}")


def edge_of(recipe: Recipe) -> str:
    """Return the name of the bound: the recipe's fewest bits decide."""
    how = recipe.quantization
    assert how is not None
    return f"int{min(how.weight_bits, how.activation_bits or 8)}"
