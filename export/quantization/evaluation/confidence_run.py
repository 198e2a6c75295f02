"""Fits a model's confidence on labelled images, and measures it on others; imports PyTorch."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.core.errors import RequestError
from export.core.figures.stats import proportion
from export.core.files import write_atomically
from export.core.records import Confidence, ModelSpec
from export.data.datasets import has_test_images
from export.models.confidence import (
    SCHEMA_VERSION,
    ConfidenceFile,
    QuantizedConfidence,
    UnknownSet,
    require_exclusive_classes,
)
from export.models.weights.float_artifact import read_model
from export.quantization.evaluation.confidence import Fit, Labels, Logits, energies, fit_confidence, share_below
from export.quantization.evaluation.records import to_estimate
from export.quantization.evaluation.run import compute_outputs, devices, open_images
from export.quantization.integer_file import QuantizedModel, load_quantized
from export.quantization.resources import describe_device


def evaluate_confidence(
    folder: Path,
    *,
    data: Path | None,
    unknown: Sequence[Path],
    quantized: Sequence[Path],
    limit: int | None,
    command: str,
    path: Path,
) -> ConfidenceFile:
    """Fit a float artifact's confidence on the labelled images in `data`, and write it with its figures to `path`.

    `unknown` are folders and archives of images of none of its classes, of which the share called unknown is measured;
    `quantized` are integer artifacts of the same model. At most `limit` images of each are used. Raises what
    `open_dataset` and `load_quantized` do, and `RequestError` for a model without exclusive classes, images without
    labels, and another model's integers.
    """
    spec, module = read_model(folder)
    require_exclusive_classes(spec)
    models = [_load_own(file, spec) for file in quantized]
    if data is None and not has_test_images(spec):
        raise RequestError(f"{spec.name} has no labelled images here to fit a confidence on", hint="pass --data DIR")
    with open_images(spec, data, limit) as images:
        if images.labels is None:
            raise RequestError(
                f"{images.title}: a confidence needs images in class folders",
                hint="put each class's images into a folder of its name",
            )
        labels, title = images.labels.numpy(), f"{images.title}, {len(images.pixels):,} images"
        fit = fit_confidence(_logits(module, spec, images.pixels, "float"), labels, title)
        rows = tuple(_quantized_row(model, images.pixels[fit.held_out], labels[fit.held_out], fit) for model in models)
    file = ConfidenceFile(
        schema_version=SCHEMA_VERSION,
        model=spec.name,
        weights_sha256=spec.weights_sha256,
        preprocess=spec.preprocess,
        confidence=fit.confidence,
        fitted_on=fit.fitted_on,
        top1=fit.top1,
        uncalibrated_ece=fit.uncalibrated_ece,
        ece=fit.ece,
        unknown=tuple(_unknown_set(one, module, spec, fit.confidence, limit) for one in unknown),
        quantized=rows,
        command=command,
        machine=describe_device(devices()[0]),
        threads=torch.get_num_threads(),
        tools={name: version(name) for name in ("torch", "timm", "numpy")},
    )
    write_atomically(path, (json.dumps(file.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    return file


def _logits(module: nn.Module, spec: ModelSpec, pixels: NDArray[np.uint8], title: str) -> Logits:
    place = devices()[0]
    return compute_outputs(module.to(place), spec, pixels, place, title).double().numpy()


def _load_own(path: Path, spec: ModelSpec) -> QuantizedModel:
    model = load_quantized(path)
    if model.spec.weights_sha256 != spec.weights_sha256:
        raise RequestError(
            f"--quantized {path} was made from other weights ({model.spec.name}) than these of {spec.name}",
            hint="pass integer artifacts of this model, from python -m export.quantize",
        )
    return model


def _quantized_row(model: QuantizedModel, pixels: NDArray[np.uint8], labels: Labels, fit: Fit) -> QuantizedConfidence:
    logits, confidence = _logits(model.module, model.spec, pixels, model.recipe.name), fit.confidence
    return QuantizedConfidence(
        recipe=model.recipe.name,
        top1=to_estimate(proportion(int((logits.argmax(1) == labels).sum()), len(labels))),
        false_alarms=share_below(confidence.threshold, energies(logits, confidence.energy_temperature)),
    )


def _unknown_set(
    data: Path, module: nn.Module, spec: ModelSpec, confidence: Confidence, limit: int | None
) -> UnknownSet:
    with open_images(spec, data, limit, classes=False) as images:
        scores = energies(_logits(module, spec, images.pixels, images.title), confidence.energy_temperature)
        return UnknownSet(data=images.title, rejected=share_below(confidence.threshold, scores))
