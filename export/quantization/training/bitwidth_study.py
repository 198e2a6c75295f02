"""A study over bit widths: one float model quantized by training (QAT) and by calibration (PTQ), in one table."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from msgspec.structs import replace
from torch import nn

from export.core.console import format_seconds, say
from export.core.errors import RequestError
from export.core.figures.stats import proportion
from export.core.files import hash_file, hash_json, write_atomically
from export.core.records import ModelSpec
from export.core.schema import Count, Number, PositiveInt, Proportion, Record, checked, parse_json
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import FILE, QuantizedModel, load_quantized, write_quantized
from export.quantization.methods import METHODS, Bits
from export.quantization.recipes import Recipe, quantizing
from export.quantization.training.images import TrainedImages, count_hits
from export.quantization.training.qat import freeze_trained
from export.quantization.training.qat_training import FinetuneOptions, Finetuning, calibration_images

RESULT, TABLE, CHECKPOINT, CURVE = "result.json", "table.json", "checkpoint.pt", "curve.json"
CHECKPOINT_STEPS = 100  # of training between two checkpoints


class CurvePoint(Record, frozen=True, kw_only=True):
    """The mean `loss` of the steps of training since the last point, up to `step`."""

    step: Count
    loss: Number


class StudyResult(Record, frozen=True, kw_only=True):
    """The accuracy of one recipe: `top1` of `n` test images with its 95 % Wilson interval `low` … `high`, and the file.

    `kind` is float, ptq or qat; `steps` are those of training, `curve` is how its loss went; `key` is the hash of all
    that decides the result.
    """

    key: str
    recipe: str
    kind: str
    method: str
    weight_bits: Bits | None
    activation_bits: Bits | None
    steps: Count
    top1: Proportion
    n: PositiveInt
    low: Proportion
    high: Proportion
    bytes: Count
    sha256: str
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """One float `module`, and how its quantized versions are trained, calibrated and evaluated, in the folder `out`.

    `options` are those of training; images of `train` also calibrate, those of `test` evaluate; `data` names both.
    """

    spec: ModelSpec
    module: nn.Module
    options: FinetuneOptions
    train: TrainedImages
    test: TrainedImages
    data: str
    device: torch.device
    out: Path

    def key(self, recipe: Recipe) -> str:
        """Return the hash of all that decides a recipe's result."""
        images = [*self.train.digests(), *self.test.digests()]
        trains = recipe.quantization is not None and recipe.quantization.method.trains
        options = self.options.to_json() if trains else None
        return hash_json([self.spec.to_json(), recipe.to_json(), options, images])

    def evaluate(
        self, recipe: Recipe, kind: str, module: nn.Module, *, steps: int = 0, path: Path | None = None
    ) -> StudyResult:
        """Return the module's accuracy on the test images."""
        figure = proportion(count_hits(module.to(self.device), self.test, self.device), len(self.test))
        quantization = recipe.quantization
        assert figure.low is not None and figure.high is not None
        return StudyResult(
            key=self.key(recipe),
            recipe=recipe.name,
            kind=kind,
            method=quantization.method.name if quantization else "",
            weight_bits=quantization.weight_bits if quantization else None,
            activation_bits=quantization.activation_bits if quantization else None,
            steps=steps,
            top1=figure.value,
            n=figure.n,
            low=figure.low,
            high=figure.high,
            bytes=path.stat().st_size if path else 4 * self.spec.parameters,
            sha256=hash_file(path) if path else "",
        )


def ptq_recipes(trained: Sequence[Recipe], methods: str) -> list[Recipe]:
    """Return the recipes of the PTQ `methods` (affine,minmax) at the same bits as the trained ones.

    Raises `RequestError` for an unknown method and for one of training.
    """
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names:
        if name not in METHODS or METHODS[name].trains:
            known = ", ".join(name for name, method in METHODS.items() if not method.trains)
            raise RequestError(f"--ptq {name!r}: not a calibration method", hint=f"known: {known}")
    bits = [
        (quantization.weight_bits, quantization.activation_bits)
        for recipe in trained
        if (quantization := recipe.quantization)
    ]
    return [quantizing(METHODS[name], *pair) for name in names for pair in dict.fromkeys(bits)]


def check_trains(recipes: Sequence[Recipe]) -> None:
    """Raise `RequestError` for a recipe that is not one of training."""
    for recipe in recipes:
        if recipe.quantization is None or not recipe.quantization.method.trains:
            trained = ", ".join(f"w4a4_{name}" for name, method in METHODS.items() if method.trains)
            raise RequestError(f"--qat {recipe.name}: not a training recipe", hint=f"for instance {trained}")


def check_resumable(out: Path) -> None:
    """Raise `RequestError` when `out` has neither a result nor a checkpoint of an interrupted run."""
    if not any(path.parent.parent == out for name in (RESULT, CHECKPOINT) for path in out.glob(f"*/{name}")):
        raise RequestError(f"--resume: there is nothing to resume in {out}", hint="run without --resume first")


def obtain(study: Study, recipe: Recipe, *, resume: bool) -> StudyResult:
    """Train or calibrate a recipe, write its file and evaluate it; with `resume` a finished result is reused."""
    folder = study.out / recipe.name
    if resume and (finished := _finished_result(folder, study.key(recipe))):
        say(f"{_describe(finished)}   kept")
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    assert recipe.quantization is not None
    if recipe.quantization.method.trains:
        kind, (module, steps) = "qat", _train(study, recipe, folder / CHECKPOINT, resume=resume)
    else:
        calibration = recipe.quantization.calibration
        images = calibration_images(study.train, calibration.images, calibration.seed).to(study.device)
        kind, module, steps = "ptq", calibrate(study.module.to(study.device), recipe, images), 0
    path = folder / FILE
    write_quantized(QuantizedModel(study.spec, recipe, module), path)
    result = study.evaluate(recipe, kind, load_quantized(path).module, steps=steps, path=path)
    result = replace(result, curve=_read_curve(folder / CURVE, steps))
    write_atomically(folder / RESULT, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    for temporary in (CHECKPOINT, CURVE):
        (folder / temporary).unlink(missing_ok=True)
    say(f"{_describe(result)}   {format_seconds(time.perf_counter() - started)}")
    return result


def _finished_result(folder: Path, key: str) -> StudyResult | None:
    if not ((folder / RESULT).is_file() and (folder / FILE).is_file()):
        return None
    result = StudyResult.read(folder / RESULT, hint="run without --resume")
    return result if result.key == key and result.sha256 == hash_file(folder / FILE) else None


def _train(study: Study, recipe: Recipe, checkpoint: Path, *, resume: bool) -> tuple[nn.Module, int]:
    training = Finetuning(study.module, recipe, study.options, study.train, study.device)
    key = study.key(recipe)
    if resume and checkpoint.exists():
        training.load(checkpoint, key)
        say(f"{recipe.name}: resuming after step {training.step}")
    path = checkpoint.with_name(CURVE)
    curve = _read_curve(path, training.step)
    while training.step < training.steps:
        loss = training.train_steps(CHECKPOINT_STEPS)
        curve = (*curve, CurvePoint(step=training.step, loss=loss))
        write_atomically(path, json.dumps([point.to_json() for point in curve]).encode())
        training.save(checkpoint, key)
        say(f"{recipe.name}: step {training.step}/{training.steps}  loss {loss:.4f}")
    return freeze_trained(training.module), training.steps


def _read_curve(path: Path, step: int) -> tuple[CurvePoint, ...]:
    """Return the curve up to a step: a run that was interrupted may have written a point without its checkpoint."""
    if not path.is_file():
        return ()
    curve = checked(parse_json(path.read_bytes()), tuple[CurvePoint, ...])
    return tuple(point for point in curve if point.step <= step)


def _describe(result: StudyResult) -> str:
    share = f"{100 * result.top1:.2f} % ({100 * result.low:.2f} – {100 * result.high:.2f}, n={result.n:,})"
    return f"{result.kind:<5} {result.recipe:<16} {share}  {result.bytes / 1e6:.2f} MB"


def write_table(study: Study, rows: Sequence[StudyResult], command: str) -> Path:
    """Write the results with all that decides them, and return the file."""
    table = {
        "schema_version": 1,
        "model": study.spec.to_json(),
        "data": study.data,
        "images": {"train": len(study.train), "test": len(study.test)},
        "command": command,
        "options": study.options.to_json(),
        "rows": [result.to_json() for result in rows],
        "environment": {
            "machine": platform.machine(),
            "device": study.device.type,
            "torch": torch.__version__,
            "timm": timm.__version__,
            "threads": torch.get_num_threads(),
        },
    }
    path = study.out / TABLE
    write_atomically(path, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
    return path
