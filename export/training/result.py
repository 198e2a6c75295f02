"""The files that training leaves: weights with their description inside, labels, model card and report."""

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from export.core.console import say
from export.core.files import write_atomically
from export.core.records import Preprocess
from export.data.pictures.training_set import TrainingSet
from export.training.loop.batches import HeldOutPictures
from export.training.loop.trainer import Trainer, predict
from export.training.model.first_weights import FOLDERS
from export.training.results.card import Card, accuracy, class_results, most_confused
from export.training.results.model_card import model_card
from export.training.results.report import render_report

WEIGHTS, LABELS, CARD, MODEL_CARD, REPORT = "model.safetensors", "labels.txt", "card.json", "README.md", "report.html"


@dataclass(frozen=True, slots=True)
class Result:
    """A trained model with its pictures; `held_out` are those that its accuracy is measured on."""

    trainer: Trainer
    pictures: TrainingSet
    held_out: HeldOutPictures
    preprocess: Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the card says of where data and weights come from."""

    data: str
    licence: str
    command: str
    held_out: str
    first_weights: str
    teacher: str


def write_result(result: Result, facts: Facts, out: Path) -> Path:
    """Write the averaged weights as fp16 safetensors, labels, card and report; return the file of weights.

    The accuracy in the card is that of the stored weights.
    """
    module: nn.Module = result.trainer.ema.module
    halves = {name: _stored(value) for name, value in module.state_dict().items()}
    path = out / WEIGHTS
    write_atomically(path, to_safetensors(halves, metadata=_metadata(result)))
    write_atomically(out / LABELS, ("\n".join(result.pictures.labels) + "\n").encode())
    logits = predict(module.half().float(), result.held_out, result.trainer.device)
    card = _card(result, facts, logits)
    write_card(card, out)
    say(
        f"{card.top1.percent:.2f} % of {card.top1.n} held-out pictures "
        f"({card.top1.low:.2f} to {card.top1.high:.2f} %), stored as fp16 → {path}"
    )
    say(f"report: {out / REPORT}")
    say(f"to build a page: python -m export.build --model timm/{card.architecture} --checkpoint {path}")
    return path


def write_card(card: Card, out: Path) -> None:
    """Write a card as JSON, as a model card to read, and as a report with curves."""
    write_atomically(out / CARD, (json.dumps(card.to_json(), indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(out / MODEL_CARD, model_card(card).encode())
    write_atomically(out / REPORT, render_report(card).encode())


def _stored(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous().cpu()


def _metadata(result: Result) -> dict[str, str]:
    """Return what the file says of itself: what `export.models.checkpoint` reads, and the class folders."""
    preprocess, options = result.preprocess, result.trainer.options
    values: dict[str, Any] = {
        "arguments": {**options.arguments, "num_classes": len(result.pictures.classes)},
        "mean": preprocess.mean,
        "std": preprocess.std,
        "crop_pct": preprocess.crop_pct,
        "img_size": preprocess.size,
        "labels": result.pictures.labels,
        FOLDERS: result.pictures.classes,
    }
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    return {"format": "pt", "architecture": options.model, "interpolation": preprocess.interpolation, **texts}


def _card(result: Result, facts: Facts, logits: Tensor) -> Card:
    trainer, pictures, preprocess = result.trainer, result.pictures, result.preprocess
    targets = result.held_out.targets
    return Card(
        architecture=trainer.options.model,
        arguments={**trainer.options.arguments, "num_classes": len(pictures.classes)},
        preprocess={
            "size": preprocess.size,
            "crop_pct": preprocess.crop_pct,
            "interpolation": preprocess.interpolation,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
        options=trainer.options.to_json(),
        training_pictures=len(trainer.batches),
        classes=pictures.classes,
        top1=accuracy(logits, targets, 1),
        top5=accuracy(logits, targets, 5),
        curve=tuple(trainer.position.curve),
        dtype="float16",
        environment=_environment(trainer),
        labels=pictures.labels,
        per_class=class_results(logits, targets, pictures.labels),
        confusions=most_confused(logits, targets, pictures.labels),
        **asdict(facts),
    )


def _environment(trainer: Trainer) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "timm": timm.__version__,
        "threads": torch.get_num_threads(),
        "seconds": round(trainer.position.seconds, 1),
        "finished": time.strftime("%Y-%m-%d", time.gmtime()),
    }
