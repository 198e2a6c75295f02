"""Images a second in PyTorch: the float model beside its dynamically quantized versions, on the CPU; float on a GPU."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.comparing.jobs.timing import time_in_rounds
from export.core.figures.stats import summarise
from export.models.weights.float_artifact import read_model
from export.page.reports.comparison.records import Speed, to_spread
from export.quantization.evaluation.baselines import BASELINES

FLOAT, CPU, CUDA = "f32", "cpu", "cuda"


@torch.inference_mode()
def run(options: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """Time the recipes in the options at each batch size; integers of our own recipes are only simulated by PyTorch."""
    spec, module = read_model(Path(places["artifact"]))
    modules = {(FLOAT, CPU): module}
    modules |= {(name, CPU): BASELINES[name](module).module for name in options["recipes"] if name != FLOAT}
    if torch.cuda.is_available():
        modules[FLOAT, CUDA] = copy.deepcopy(module).to(CUDA)
    speeds: list[Speed] = []
    for batch in options["batches"]:
        shape = (batch, 3, spec.preprocess.size, spec.preprocess.size)
        inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        speeds += _compare(modules, inputs, options["rounds"], options["seconds"])
    return {"speeds": [speed.to_json() for speed in speeds]}


def _compare(
    modules: dict[tuple[str, str], nn.Module], inputs: torch.Tensor, rounds: int, seconds: float
) -> list[Speed]:
    batch = len(inputs)
    runs = {name: _runner(module, inputs.to(name[1])) for name, module in modules.items()}
    times = time_in_rounds(runs, rounds, seconds)
    reference = times[FLOAT, CPU]
    return [
        Speed(
            recipe=recipe,
            device=device,
            batch=batch,
            threads=torch.get_num_threads(),
            images_per_second=to_spread(summarise([batch / one for one in found])),
            ratio=to_spread(summarise([own / one for own, one in zip(reference, found, strict=True)])),
        )
        for (recipe, device), found in times.items()
    ]


def _runner(module: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    if inputs.device.type != CUDA:
        return lambda: module(inputs)

    def on_gpu() -> None:
        module(inputs)
        torch.cuda.synchronize()

    return on_gpu
