"""The page that the benchmark measures: one model with all targets as its variants."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from export.core.console import stage
from export.measuring.benchmark.targets import Target
from export.measuring.browser.page_client import read_site_data
from export.models.choice.request import ModelRequest
from export.page.assets.bundle import make_bundle
from export.page.render import render
from export.pipeline.build import make_formats
from export.pipeline.store import Store
from export.quantization.recipes import Recipe, find_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSite:
    """A rendered site of one model: its folder, its data for scripts, and the folder of the float model's artifact."""

    folder: Path
    data: dict[str, Any]
    float_folder: Path

    @property
    def model(self) -> dict[str, Any]:
        """The model's part of the data."""
        (model,) = self.data["models"]
        return dict(model)

    def variant(self, target: Target) -> dict[str, Any]:
        """Return a target's part of the data."""
        return dict(next(variant for variant in self.model["variants"] if variant["id"] == target.variant))


def build_benchmark_site(
    model: ModelRequest, targets: Sequence[Target], folder: Path, *, calibration: int | None = None, force: bool = False
) -> BenchmarkSite:
    """Make the targets' artifacts in `folder` where they are missing, and render the page there.

    `calibration` is how many images recipes are calibrated on, None as many as they say. Raises what building raises.
    """
    store, site = Store(folder), folder / "_site"
    pairs = [(_recipe(target, calibration), target.format) for target in targets]
    make_formats(model, tuple(dict.fromkeys(pairs)), store, force=force)
    with stage("render the page"):
        render(
            artifacts=folder,
            models=[model.name],
            recipes=list(dict.fromkeys(target.recipe for target in targets)),
            bundle=make_bundle(),
            measurements=None,
            out=site,
            variants={target.variant for target in targets},
        )
    return BenchmarkSite(folder=site, data=read_site_data(site), float_folder=store.folder(model.name, "f32", "torch"))


def _recipe(target: Target, calibration: int | None) -> Recipe:
    recipe = find_recipe(target.recipe)
    if calibration is None or recipe.quantization is None:
        return recipe
    quantization = recipe.quantization
    images = replace(quantization.calibration, images=calibration)
    return replace(recipe, quantization=replace(quantization, calibration=images))
