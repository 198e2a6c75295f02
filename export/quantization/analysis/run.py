"""Analyses one model and recipe from its images to its file; rows are kept one by one. Imports PyTorch."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from export.core.console import bar, say
from export.core.errors import RequestError
from export.core.files import hash_json, write_atomically
from export.core.records import ModelSpec
from export.core.schema import Record
from export.core.source_code import code_key
from export.data.calibration import CalibrationImages, calibration_images
from export.data.preprocess import normalise
from export.models.weights.float_artifact import read_model
from export.quantization.analysis.distributions import measure_distributions
from export.quantization.analysis.everything import LADDER, outputs_of_step
from export.quantization.analysis.layer_swap import ModelPair, quantized_pair
from export.quantization.analysis.outputs import figures, share
from export.quantization.analysis.records import Analysis, LadderRow, SensitivityRow, read_analysis
from export.quantization.analysis.sensitivity import measure_cumulative, measure_sensitivity
from export.quantization.calibration.observers import block_of
from export.quantization.evaluation.run import Images, compute_outputs, devices, open_images
from export.quantization.recipes import Recipe
from export.quantization.resources import describe_device

DISTRIBUTION_IMAGES = 8  # of which activations are described
DEFAULT_IMAGES = 256


@dataclass(frozen=True)
class Subject:
    """A float model with the images that it is analysed on, `pixels [n, 3, H, W]`, and the outputs it has for them."""

    spec: ModelSpec
    module: nn.Module
    pixels: Tensor
    labels: Tensor | None
    title: str
    outputs: Tensor
    calibration_data: Path | None

    def calibration(self, recipe: Recipe) -> CalibrationImages:
        """Return the images that a recipe is calibrated on."""
        assert recipe.quantization is not None
        chosen = recipe.quantization.calibration
        return calibration_images(self.spec, self.calibration_data, chosen.images, chosen.seed)

    def pair(self, recipe: Recipe, images: CalibrationImages) -> ModelPair:
        """Calibrate the model by a recipe, with a bar of its layers."""
        with bar(recipe.name, unit="layer") as drawn:

            def tell(done: int, total: int, name: str) -> None:
                drawn.total = total
                drawn.update(done - drawn.n)

            return quantized_pair(
                copy.deepcopy(self.module),
                recipe,
                torch.from_numpy(images.images).to(self.pixels.device),
                features=self.spec.features,
                independent=self.spec.probabilities == "sigmoid",
                tell=tell,
            )


@contextmanager
def open_subject(
    folder: Path, *, data: Path | None, calibration_data: Path | None, limit: int | None
) -> Iterator[Subject]:
    """Open a float artifact with images of `data`, or the model's own; raises what `open_images` does."""
    spec, module = read_model(folder)
    device = devices()[0]
    module = module.to(device)
    with open_images(spec, data, limit or DEFAULT_IMAGES) as images:
        outputs = compute_outputs(module, spec, images.pixels, device, "float")
        yield Subject(
            spec, module, _normalised(images, spec).to(device), images.labels, images.title, outputs, calibration_data
        )


def _normalised(images: Images, spec: ModelSpec) -> Tensor:
    return torch.from_numpy(np.stack([normalise(pixels, spec.preprocess) for pixels in images.pixels]))


def analyse(subject: Subject, recipe: Recipe, *, ladder: bool, command: str, path: Path) -> Analysis:
    """Return what a recipe does to each layer of a model, and with `ladder` to everything else.

    Rows that are in `path` are not measured again; its ladder stays where all rows do. Raises what `calibrate` does,
    and `RequestError` where `path` is another file.
    """
    if recipe.quantization is None:
        raise RequestError(
            f"--recipe {recipe.name} quantizes nothing, so there is nothing to analyse", hint="for instance w4a8_gptq"
        )
    earlier = read_analysis(path) if path.exists() else None
    calibration = subject.calibration(recipe)
    pair = subject.pair(recipe, calibration)
    key = hash_json(
        [
            recipe.to_json(),
            subject.spec.weights_sha256,
            subject.title,
            len(subject.pixels),
            calibration.title,
            str(subject.calibration_data),
            code_key(__name__),
        ]
    )
    known = {row.key: row for row in earlier.sensitivity} if earlier else {}
    reused = set(known)
    found = _Findings(_empty(subject, recipe, calibration, command), path, known)
    with bar("sensitivity", sum(len(pair.kinds(layer)) for layer in pair.layers)) as drawn:

        def keep(row: SensitivityRow) -> None:
            found.add(row)
            drawn.update()

        measure_sensitivity(
            pair,
            subject.pixels,
            subject.outputs,
            subject.labels,
            features=subject.spec.features,
            key=key,
            earlier=dict(known),
            keep=keep,
        )
    analysis = replace(
        found.analysis,
        cumulative=tuple(measure_cumulative(pair, subject.pixels)),
        distributions=tuple(
            measure_distributions(pair.float_module, pair.layers, subject.pixels[:DISTRIBUTION_IMAGES])
        ),
    )
    if ladder:
        images = torch.from_numpy(calibration.images).to(subject.pixels.device)
        analysis = replace(analysis, ladder=tuple(_climb(subject, pair, analysis, images)))
    elif earlier is not None and {row.key for row in analysis.sensitivity} <= reused:
        analysis = replace(analysis, ladder=earlier.ladder)  # of the same images, weights and code
    found.write(analysis)
    return analysis


@dataclass
class _Findings:
    """The analysis so far, written after every row with those of an earlier run that this one has not reached."""

    analysis: Analysis
    path: Path
    earlier: dict[str, SensitivityRow]

    def add(self, row: SensitivityRow) -> None:
        self.analysis = replace(self.analysis, sensitivity=(*self.analysis.sensitivity, row))
        if self.earlier.pop(row.key, None) is None:
            self.write(replace(self.analysis, sensitivity=(*self.analysis.sensitivity, *self.earlier.values())))

    def write(self, analysis: Analysis) -> None:
        write_json(analysis, self.path)


def write_json(record: Record, path: Path) -> None:
    """Write a record as JSON, whole or not at all."""
    write_atomically(path, (json.dumps(record.to_json(), indent=1, ensure_ascii=False) + "\n").encode())


def _empty(subject: Subject, recipe: Recipe, calibration: CalibrationImages, command: str) -> Analysis:
    labels, outputs = subject.labels, subject.outputs
    return Analysis(
        command=command,
        model=subject.spec.name,
        weights_sha256=subject.spec.weights_sha256,
        recipe=recipe.name,
        data=subject.title,
        calibration_data=calibration.title,
        n=len(subject.pixels),
        machine=describe_device(subject.pixels.device),
        threads=torch.get_num_threads(),
        tools={name: version(name) for name in ("torch", "timm", "numpy")},
        float_top1=None if labels is None or subject.spec.features else share(outputs.argmax(1).eq(labels)),
    )


def worst_layers(analysis: Analysis, count: int) -> list[SensitivityRow]:
    """Return the layers with weights whose quantization costs the outputs most, the worst first."""
    whole = {row.layer: row for row in analysis.sensitivity if row.tensors in ("both", "weights")}
    whole |= {row.layer: row for row in analysis.sensitivity if row.tensors == "both"}
    return sorted(whole.values(), key=lambda row: row.sqnr_db)[:count]


def _climb(subject: Subject, pair: ModelPair, analysis: Analysis, calibration: Tensor) -> Iterator[LadderRow]:
    blocks = list(dict.fromkeys(block for layer in pair.layers if (block := block_of(layer.name))))
    worst = [row.layer for row in worst_layers(analysis, len(pair.layers))]
    for step in LADDER:
        in_float: Sequence[str] = worst[: step.worst_in_float]
        outputs = outputs_of_step(pair, blocks, step, in_float, calibration, subject.pixels)
        row = figures(subject.outputs, outputs.cpu(), subject.labels, features=subject.spec.features)
        yield LadderRow(step=step.title, float_layers=tuple(in_float), **row)
        say(f"  {step.title}: {row['sqnr_db']:.1f} dB")


def write_text(text: str, path: Path) -> None:
    """Write a text, whole or not at all."""
    write_atomically(path, text.encode())
