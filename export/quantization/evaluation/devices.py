"""Compares what a GPU's calibration chooses, and how long it takes, with the CPU's; imports PyTorch."""

import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from export.core.console import say
from export.core.figures.fidelity import sqnr_db
from export.core.files import write_atomically
from export.core.records import ModelSpec
from export.data.calibration import calibration_images
from export.models.weights.float_artifact import read_golden, read_model, run_model
from export.quantization.calibration.calibrate import calibrate
from export.quantization.evaluation.device_records import (
    SCHEMA_VERSION,
    DeviceComparison,
    DeviceRow,
    describe,
    read_devices,
)
from export.quantization.evaluation.memory import peak_memory
from export.quantization.layers.modules import Weight
from export.quantization.recipes import Recipe
from export.quantization.resources import describe_device, find_device


def compare_devices(folder: Path, recipes: Sequence[Recipe], *, data: Path | None, path: Path) -> DeviceComparison:
    """Calibrate a float artifact by each recipe on the CPU and on the first GPU, and write the comparison to `path`.

    Rows of the same machine that are there and are not measured are kept. Raises `RequestError` where there is no GPU.
    """
    spec, module = read_model(folder)
    gpu = find_device("cuda")
    table = DeviceComparison(
        schema_version=SCHEMA_VERSION,
        cpu=describe_device(torch.device("cpu")),
        threads=torch.get_num_threads(),
        gpu=describe_device(gpu),
        torch=torch.__version__,
        rows=(),
    )
    if path.exists() and replace(earlier := read_devices(path), rows=()) == table:
        table = earlier
    torch.zeros(1, device=gpu)  # starting the driver takes seconds, which are none of calibration
    for recipe in recipes:
        row = _compare(spec, module, folder, recipe, data, gpu)
        others = [one for one in table.rows if (one.model, one.recipe) != (row.model, row.recipe)]
        table = replace(table, rows=(*others, row))
        write_atomically(path, (json.dumps(table.to_json(), indent=1) + "\n").encode())
        say(f"  {describe(row)}")
    return table


def _compare(
    spec: ModelSpec, module: nn.Module, folder: Path, recipe: Recipe, data: Path | None, gpu: torch.device
) -> DeviceRow:
    assert recipe.quantization is not None
    calibration = recipe.quantization.calibration
    images = torch.from_numpy(calibration_images(spec, data, calibration.images, calibration.seed).images)
    of_cpu, cpu_seconds, _ = _calibrate(spec, module, recipe, images)
    of_gpu, gpu_seconds, peak = _calibrate(spec, module, recipe, images.to(gpu))
    inputs, outputs = read_golden(folder)
    on_cpu, on_gpu = run_model(of_cpu, inputs), run_model(of_gpu, inputs)
    of_both = _weights(of_cpu), _weights(of_gpu)
    pairs = [(of_both[0][name], of_both[1][name]) for name in of_both[0]]
    ratios = torch.cat([theirs.scale / ours.scale for ours, theirs in pairs]).double()
    return DeviceRow(
        model=spec.name,
        recipe=recipe.name,
        images=len(images),
        cpu_seconds=cpu_seconds,
        gpu_seconds=gpu_seconds,
        gpu_peak_bytes=peak,
        equal_codes=_share_of_equal([(ours.quantized, theirs.quantized) for ours, theirs in pairs]),
        equal_scales=_share_of_equal([(ours.scale, theirs.scale) for ours, theirs in pairs]),
        greatest_scale_ratio=float(ratios.maximum(1 / ratios).max()),
        between_db=sqnr_db(on_cpu, on_gpu),
        cpu_db=sqnr_db(outputs, on_cpu) or float("inf"),
        gpu_db=sqnr_db(outputs, on_gpu) or float("inf"),
    )


def _calibrate(spec: ModelSpec, module: nn.Module, recipe: Recipe, images: Tensor) -> tuple[nn.Module, float, int]:
    """Return the model, on the CPU, with the seconds and the peak memory that it took."""
    copied, started = copy.deepcopy(module).to(images.device), time.perf_counter()
    with peak_memory(images.device) as peak:
        calibrated = calibrate(copied, recipe, images, features=spec.features).cpu()
    return calibrated, time.perf_counter() - started, peak.bytes or 0


def _weights(module: nn.Module) -> dict[str, Weight]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Weight)}


def _share_of_equal(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    equal = sum(int((ours == theirs).sum()) for ours, theirs in pairs)
    return equal / sum(ours.numel() for ours, _ in pairs)
