"""Searches that leave out candidates find what exhaustive ones do, on real layers; with -s they say what that saves."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from export.data.calibration import calibration_images
from export.models.choice.request import ModelRequest
from export.models.weights.float_artifact import read_model
from export.pipeline.build import float_artifact
from export.pipeline.store import Store
from export.quantization.calibration import layer_solver, product_solver
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.search import row_search
from export.quantization.calibration.search.row_search import Target, take_rows
from export.quantization.calibration.search.scale_search import (
    Loss,
    best_candidate,
    partial_factor,
    search_channel_scales,
)
from export.quantization.layers.quantizers import Quantizer, Uniform
from export.quantization.layers.rounding import quantize_symmetric
from export.quantization.methods import Metric
from export.quantization.recipes import find_recipe

IMAGES, BLOCKS = 8, 3
SHARE = 0.99  # of searches that find the same scale
EXHAUSTIVE = ((1.0, 1.0),)
CANDIDATES = [0.01 + index / 100 for index in range(120)]


@dataclass
class Tally:
    """How many scales are the same, and the seconds of the processor that both ways take."""

    same: int = 0
    of: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_artifact(ModelRequest(model="fashion"), Store(tmp_path_factory.mktemp("artifacts")))


def timed(function: Callable[..., Tensor], *arguments: Any) -> tuple[Tensor, float]:
    started = time.process_time()
    return function(*arguments), time.process_time() - started


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w8a8_ptq4vit", "w4a4_ptq4vit", "w6a6_ptq4vit_published", "w6a6_basic"])
def test_rows_find_the_scales_that_all_outputs_do(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, module = read_model(folder)
    module.blocks = module.blocks[:BLOCKS]
    recipe = find_recipe(name)
    assert recipe.quantization is not None
    once = replace(recipe.quantization.calibration, images=IMAGES, rounds=1)
    recipe = replace(recipe, quantization=replace(recipe.quantization, calibration=once))
    search, tally = row_search.search_rows, Tally()
    steps = row_search.STEPS, row_search.STEPS_OF_PRODUCTS

    def both(*arguments: Any) -> Tensor:
        monkeypatch.setattr(row_search, "STEPS", EXHAUSTIVE)
        monkeypatch.setattr(row_search, "STEPS_OF_PRODUCTS", EXHAUSTIVE)
        exhaustive, slow = timed(search, *arguments)
        monkeypatch.setattr(row_search, "STEPS", steps[0])
        monkeypatch.setattr(row_search, "STEPS_OF_PRODUCTS", steps[1])
        found, fast = timed(search, *arguments)
        tally.same += int((found == exhaustive).sum())
        tally.of += found.numel()
        tally.seconds = [tally.seconds[0] + slow, tally.seconds[1] + fast]
        return exhaustive

    for solver in (layer_solver, product_solver):
        monkeypatch.setattr(solver, "search_rows", both)
    images = torch.from_numpy(calibration_images(spec, None, IMAGES, 0).images)
    calibrate(module, recipe, images)
    slow, fast = tally.seconds
    print(f"\n{name}: {tally.same} of {tally.of} scales are the same; {fast:.1f} s instead of {slow:.1f} s")
    assert tally.of >= 40 and tally.same / tally.of >= SHARE
    assert fast < slow


@pytest.mark.parametrize("steepness", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("metric", ["hessian", "cosine", "mse", "l1"])
def test_few_rows_leave_out_only_what_is_worse(metric: Metric, steepness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2000, 24, generator=generator)
    weight = torch.randn(16, 24, generator=generator)
    reference = values @ weight.T
    gradient = torch.randn(2000, 16, generator=generator) * torch.rand(2000, 1, generator=generator) ** steepness
    full, computed = values.abs().max() / 7.5, Counter[float]()

    def start(rows: Tensor | None) -> Callable[[Quantizer], Tensor]:
        chosen = take_rows(values, rows)

        def forward(quantizer: Quantizer) -> Tensor:
            computed[quantizer.scale.item()] += len(chosen)  # type: ignore[operator, union-attr]
            return quantizer(chosen) @ weight.T

        return forward

    target = Target(metric, reference, gradient if metric == "hessian" else None)
    found = row_search.search_rows(lambda factor: Uniform(4, full * factor), start, CANDIDATES, target)
    loss = Loss(metric, reference, gradient)
    expected = best_candidate(CANDIDATES, lambda factor: loss(Uniform(4, full * factor)(values) @ weight.T))
    assert torch.equal(found, expected)
    assert computed[(full * found).item()] >= len(values) and computed.total() < len(CANDIDATES) * len(values) / 2


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize(("rows", "columns", "rank"), [(48, 64, 2000), (30, 200, 40), (16, 27, 5)])
def test_bounds_leave_out_only_what_is_worse(bits: int, rows: int, columns: int, rank: int) -> None:
    generator = torch.Generator().manual_seed(bits)
    weight = torch.randn(rows, columns, generator=generator) * torch.rand(rows, 1, generator=generator)
    inputs = torch.randn(rank, columns, generator=generator) * torch.rand(columns, generator=generator) ** 3
    hessian = (inputs.T @ inputs).double()
    full = weight.abs().amax(1) / (2 ** (bits - 1) - 0.5)

    def loss(factor: float) -> Tensor:
        error = quantize_symmetric(weight, full * factor, bits).dequantized() - weight
        return ((error @ hessian.float()) * error).sum(1)

    expected = full * best_candidate(CANDIDATES, loss)
    assert torch.equal(search_channel_scales(weight, hessian, bits, CANDIDATES), expected)


def test_a_partial_factor_is_a_part() -> None:
    inputs = torch.randn(300, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hessian = inputs.T @ inputs
    factor = partial_factor(hessian, 10)
    rest = torch.linalg.eigvalsh(hessian - factor @ factor.T)
    assert factor.shape == (40, 10) and rest.min() > -1e-9 * rest.max() and rest.max() < hessian.trace()
    assert torch.equal(
        partial_factor(torch.zeros(4, 4, dtype=torch.float64), 2), torch.zeros(4, 2, dtype=torch.float64)
    )
