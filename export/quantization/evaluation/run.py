"""Quantizes a model by one recipe after another and evaluates each on the same images; imports PyTorch."""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor, nn

from export.core.console import bar, format_seconds, say
from export.core.figures.fidelity import capped_sqnr_db, cosines, decisions
from export.core.figures.stats import proportion
from export.core.files import hash_json
from export.core.records import Estimate, ModelSpec
from export.core.source_code import code_key
from export.data.calibration import CalibrationImages, calibration_images
from export.data.datasets import has_test_images, open_dataset
from export.data.preprocess import normalise, read_image, resize_and_crop
from export.data.synthetic import synthetic_images
from export.models.weights.float_artifact import read_model
from export.quantization.calibration.calibrate import calibrate
from export.quantization.evaluation.baselines import BASELINES
from export.quantization.evaluation.memory import peak_memory
from export.quantization.evaluation.probe import linear_probe, nearest_neighbours, split_to_test
from export.quantization.evaluation.records import (
    SCHEMA_VERSION,
    EvaluationRow,
    EvaluationTable,
    read_table,
    to_estimate,
    write_table,
)
from export.quantization.integer_file import QuantizedModel, write_quantized
from export.quantization.recipes import Recipe
from export.quantization.resources import describe_device

BATCH = 25  # what a batch allocates stays in the caches
SYNTHETIC = 50


@dataclass(frozen=True)
class Images:
    """Cropped images `uint8 [n, H, W, 3]` with their classes `[n]`, or None where those are not known."""

    pixels: NDArray[np.uint8]
    labels: Tensor | None
    title: str


@contextmanager
def open_images(spec: ModelSpec, data: Path | None, limit: int | None, *, classes: bool = True) -> Iterator[Images]:
    """Decode and crop all images once, into a file that vanishes at the end; raises what `open_dataset` does.

    A model that has none of its own gets synthetic ones without classes, with a note. Without `classes`, folders need
    not be the model's classes.
    """
    labels: tuple[int | None, ...]
    if data is None and not has_test_images(spec):
        files = synthetic_images(spec, min(limit or SYNTHETIC, SYNTHETIC))
        say(f"  note: {spec.name} has no test images here; {len(files)} synthetic ones say nothing of its accuracy")
        examples, labels, title = iter(files), (None,) * len(files), "synthetic images"
    else:
        dataset = open_dataset(data, spec, limit, classes=classes)
        examples, labels, title = (example.data for example in dataset), dataset.labels, dataset.title
    size = spec.preprocess.size
    with tempfile.TemporaryFile() as stream:
        stream.truncate(len(labels) * size * size * 3)
        pixels = np.memmap(stream, np.uint8, "r+", shape=(len(labels), size, size, 3))
        with bar("images", len(labels)) as drawn:
            for index, encoded in enumerate(examples):
                pixels[index] = resize_and_crop(read_image(encoded), spec.preprocess)
                drawn.update()
        known = None if None in labels else torch.tensor(labels)
        yield Images(pixels, known, title)


def evaluate(
    folder: Path,
    recipes: Sequence[Recipe | str],
    *,
    data: Path | None,
    calibration_data: Path | None,
    limit: int | None,
    path: Path,
) -> EvaluationTable:
    """Return the table of a float artifact by recipes, a `str` being one of `BASELINES`; rows in `path` are reused.

    Several GPUs evaluate a recipe each. Raises what `calibrate` and `open_dataset` do.
    """
    spec, module = read_model(folder)
    with open_images(spec, data, limit) as images:
        on_device = copy.deepcopy(module).to(devices()[0])  # threads share `module` itself: it stays where it is
        float_outputs = compute_outputs(on_device, spec, images.pixels, devices()[0], "float")
        code = code_key(__name__)
        evaluator = Evaluator(spec, module, images, float_outputs, calibration_data, code)
        empty = EvaluationTable(
            schema_version=SCHEMA_VERSION,
            model=spec.name,
            weights_sha256=spec.weights_sha256,
            data=images.title,
            calibration_data=evaluator.calibration(1, 0).title,
            n=len(images.pixels),
            machine=describe_device(devices()[0]),
            threads=torch.get_num_threads(),
            tools={name: version(name) for name in ("torch", "timm", "numpy")},
            rows=(evaluator.float_row(folder),),
        )
        earlier = {row.key: row for row in read_table(path).rows} if path.exists() else {}
        with _one_each(devices()) as each:
            rows = each(lambda recipe, device: evaluator.row(recipe, device, earlier), recipes)
            table = empty
            started = time.perf_counter()
            for done, row in enumerate(rows, start=1):
                table = replace(table, rows=(*table.rows, row))
                write_table(_with_earlier(table, earlier), path)
                left = (time.perf_counter() - started) / done * (len(recipes) - done)
                say(f"  [{done}/{len(recipes)}] {describe(row)}   about {format_seconds(left)} left")
        write_table(table, path)
    return table


@contextmanager
def _one_each(places: Sequence[torch.device]) -> Iterator[Callable[..., Iterator[EvaluationRow]]]:
    """Yield a `map` whose calls get the places in turn, as many calls at once as there are places.

    With one, all is done in the thread that asks: beside the idle OpenMP threads of another thread, its own sleep
    after each loop, which makes an evaluation much longer.
    """
    if len(places) == 1:
        yield lambda task, items: map(task, items, repeat(places[0]))
        return
    with ThreadPoolExecutor(len(places)) as pool:
        yield lambda task, items: pool.map(task, items, cycle(places))


def _with_earlier(table: EvaluationTable, earlier: dict[str, EvaluationRow]) -> EvaluationTable:
    """Return the table with rows of an earlier run that this one has not reached."""
    own = {row.key for row in table.rows}
    return replace(table, rows=(*table.rows, *(row for key, row in earlier.items() if key not in own)))


def describe(row: EvaluationRow) -> str:
    """Return a row in one line: recipe, accuracy, SQNR and size."""
    accuracy = row.top1 or row.knn or row.agreement
    metric = "top-1" if row.top1 else "k-NN" if row.knn else "agreement"
    figure = f"{metric} {accuracy.value:.2%}" if accuracy else f"cosine {row.cosine}"
    return f"{row.recipe}: {figure}, {row.sqnr_db or float('inf'):.1f} dB, {row.bytes / 1e6:.2f} MB"


def devices() -> list[torch.device]:
    """Return the GPUs, or the CPU."""
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())] or [torch.device("cpu")]


@torch.inference_mode()
def compute_outputs(
    module: nn.Module, spec: ModelSpec, pixels: NDArray[np.uint8], device: torch.device, title: str
) -> Tensor:
    """Return the outputs `[n, K]` of cropped images `uint8 [n, H, W, 3]`, in batches; the module is on `device`."""
    outputs = []
    with bar(title, len(pixels)) as drawn:
        for start in range(0, len(pixels), BATCH):
            batch = np.stack([normalise(image, spec.preprocess) for image in pixels[start : start + BATCH]])
            outputs.append(module(torch.from_numpy(batch).to(device)).float().cpu())
            drawn.update(len(batch))
    return torch.cat(outputs)


@dataclass(frozen=True)
class Evaluator:
    """Evaluates recipes on the same `images` of a model, whose float version gives `float_outputs [n, K]` on the CPU.

    `calibration_data` are those to calibrate on, None for the model's own; `code` is part of each row's key.
    """

    spec: ModelSpec
    module: nn.Module
    images: Images
    float_outputs: Tensor
    calibration_data: Path | None
    code: str
    said: set[str] = field(default_factory=set)

    def calibration(self, count: int, seed: int, tell: Callable[[str], None] = lambda note: None) -> CalibrationImages:
        """Return calibration images; raises what `calibration_images` does."""
        return calibration_images(self.spec, self.calibration_data, count, seed, tell)

    def say_once(self, note: str) -> None:
        """Say what was not said yet."""
        if note not in self.said:
            self.said.add(note)
            say(f"  {note}")

    def float_row(self, folder: Path) -> EvaluationRow:
        """Return the row of the float model whose artifact is in `folder`."""
        size = (folder / "weights.safetensors").stat().st_size
        row = EvaluationRow(
            recipe="f32", title="Float weights", key="float", bytes=size, sqnr_db=None, evaluation_seconds=0.0
        )
        return replace(row, **{**self._figures(self.float_outputs), "sqnr_db": None})

    def row(self, recipe: Recipe | str, device: torch.device, earlier: dict[str, EvaluationRow]) -> EvaluationRow:
        """Return the row of a recipe, or of a baseline by its name; one of the same key in `earlier` is reused."""
        key = self._key(recipe)
        if key in earlier:
            return earlier[key]
        if isinstance(recipe, str):
            device = torch.device("cpu")  # what these libraries' own scripts measure
            row, module = self._baseline(recipe, key)
        else:
            row, module = self._quantized(recipe, key, device)
        started = time.perf_counter()
        outputs = compute_outputs(module, self.spec, self.images.pixels, device, row.recipe)
        return replace(row, evaluation_seconds=time.perf_counter() - started, **self._figures(outputs))

    def _key(self, recipe: Recipe | str) -> str:
        named: Any = recipe if isinstance(recipe, str) else recipe.to_json()
        data = [self.images.title, len(self.images.pixels), str(self.calibration_data)]
        return hash_json([named, self.spec.weights_sha256, data, self.code])

    def _quantized(self, recipe: Recipe, key: str, device: torch.device) -> tuple[EvaluationRow, nn.Module]:
        assert recipe.quantization is not None
        calibration = recipe.quantization.calibration
        tell = self.say_once if recipe.quantization.method.uses_images else self.said.add
        images = torch.from_numpy(self.calibration(calibration.images, calibration.seed, tell).images).to(device)
        started = time.perf_counter()
        with peak_memory(device) as peak:
            module = calibrate(
                copy.deepcopy(self.module).to(device),
                recipe,
                images,
                features=self.spec.features,
                independent=self.spec.probabilities == "sigmoid",
            )
        seconds = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.safetensors"
            write_quantized(QuantizedModel(self.spec, recipe, module), file)
            size = file.stat().st_size
        return EvaluationRow(
            recipe=recipe.name,
            title=recipe.title,
            key=key,
            bytes=size,
            sqnr_db=None,
            evaluation_seconds=0.0,
            calibration_seconds=seconds,
            calibration_peak_bytes=peak.bytes,
        ), module

    def _baseline(self, name: str, key: str) -> tuple[EvaluationRow, nn.Module]:
        started = time.perf_counter()
        baseline = BASELINES[name](self.module)
        note = f"quantized {_counted(baseline.converted)}, left in float {_counted(baseline.kept_float)}"
        return EvaluationRow(
            recipe=name,
            title=name.replace("_", " "),
            key=key,
            bytes=baseline.bytes,
            sqnr_db=None,
            note=note,
            evaluation_seconds=0.0,
            calibration_seconds=time.perf_counter() - started,
        ), baseline.module

    def _figures(self, outputs: Tensor) -> dict[str, Any]:
        reference = self.float_outputs
        figures: dict[str, Any] = {"sqnr_db": capped_sqnr_db(reference.numpy(), outputs.numpy())}
        labels = self.images.labels
        if not self.spec.features:
            figures["agreement"] = _hits(torch.from_numpy(decisions(outputs.numpy()) == decisions(reference.numpy())))
            return figures if labels is None else figures | {"top1": _hits(outputs.argmax(1) == labels)}
        figures["cosine"] = float(cosines(reference.numpy(), outputs.numpy()).mean())
        if labels is None:
            return figures
        train, test = split_to_test(labels)
        for name, predict in (("knn", nearest_neighbours), ("linear_probe", linear_probe)):
            figures[name] = _hits(predict(outputs[train], labels[train], outputs[test]) == labels[test])
        return figures


def _counted(layers: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in layers.items()) or "nothing"


def _hits(correct: Tensor) -> Estimate:
    return to_estimate(proportion(int(correct.sum()), len(correct)))
