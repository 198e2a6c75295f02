"""Training on pictures from the request to its files: weights, labels, model card and report."""

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save as to_safetensors
from timm.data.model_config import resolve_input_data_config
from torch import Tensor, nn

from export.core.console import say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.records import Preprocess
from export.core.stats import proportion
from export.data.picture_arrays import PictureArray, decode_pictures, stored_side
from export.data.picture_classes import TrainingSet, find_training_set
from export.training.architecture import create_model, load_first_weights
from export.training.options import PictureTrainOptions
from export.training.teacher import TeacherRequest, load_teacher
from export.training.trainer import EpochResult, Trainer, predict

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """What to train on which pictures, and where to write it; see `find_training_set` for `data` to `held_out`.

    `command` is what the model card says of how the weights were made; `licence` is the data's.
    """

    options: PictureTrainOptions
    data: Path
    validation: Path | None
    words: Path | None
    held_out: float
    checkpoint: Path | None
    teacher: TeacherRequest | None
    cache: Path
    out: Path
    command: str
    data_title: str
    licence: str
    resume: bool = False


def train_on_pictures(request: PictureRequest) -> Path:
    """Train, checkpoint every minute, write weights, labels, card and report; return the file of weights."""
    options = request.options
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # every batch has the same shape
    pictures = find_training_set(request.data, request.validation, request.words, request.held_out, options.seed)
    torch.manual_seed(options.seed)
    module = create_model(options, len(pictures.classes))
    if request.checkpoint is not None:
        load_first_weights(module, request.checkpoint, pictures.classes, say)
    train, validation, preprocess = _decode(request, pictures, module)
    teacher = load_teacher(request.teacher, pictures.classes, device) if request.teacher else None
    say(
        f"{len(train)} pictures of {len(pictures.classes)} classes, {len(validation)} held out; "
        f"{sum(p.numel() for p in module.parameters()):,} parameters; {device.type}"
    )
    normalisation = (preprocess.mean, preprocess.std)
    trainer = Trainer(module, options, normalisation, train, len(pictures.classes), teacher, device)
    checkpoint = request.out / CHECKPOINT
    if request.resume:
        if not checkpoint.exists():
            raise RequestError(f"--resume: there is no checkpoint at {checkpoint}", hint="run without --resume first")
        trainer.load(checkpoint)
        say(f"resuming after step {trainer.position.step} of {trainer.steps}")
    request.out.mkdir(parents=True, exist_ok=True)
    curve = trainer.run(validation, checkpoint)
    return write_result(request, pictures, trainer, validation, preprocess, curve)


def _decode(
    request: PictureRequest, pictures: TrainingSet, module: nn.Module
) -> tuple[PictureArray, PictureArray, Preprocess]:
    """Return the training pictures at the side they are cropped from, the held-out ones as the model gets them."""
    size = request.options.image_size
    config = resolve_input_data_config(module)
    side = stored_side(pictures.train, size)
    preprocess = Preprocess(
        size=size,
        crop_pct=min(1.0, float(config["crop_pct"])) if side > size else 1.0,
        crop_mode="center",
        interpolation="bicubic",
        mean=tuple(map(float, config["mean"])),
        std=tuple(map(float, config["std"])),
    )
    stored = Preprocess(
        size=side, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=preprocess.mean, std=preprocess.std
    )
    train, held = pictures.train, pictures.validation
    return (
        decode_pictures(train, pictures.targets(train), stored, request.cache, "training pictures"),
        decode_pictures(held, pictures.targets(held), preprocess, request.cache, "held-out pictures"),
        preprocess,
    )


def write_result(
    request: PictureRequest,
    pictures: TrainingSet,
    trainer: Trainer,
    validation: PictureArray,
    preprocess: Preprocess,
    curve: list[EpochResult],
) -> Path:
    """Write the averaged weights as fp16 safetensors, labels, card and report; return the file of weights."""
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in trainer.ema.module.state_dict().items()
    }
    path = request.out / "model.safetensors"
    write_atomically(path, to_safetensors(halves, metadata={"format": "pt"}))
    write_atomically(request.out / "labels.txt", ("\n".join(pictures.labels) + "\n").encode())
    module = trainer.ema.module.half().float()
    logits = predict(module, validation, trainer.mean, trainer.std, trainer.device)
    card = _card(request, pictures, preprocess, logits, validation.targets, trainer, curve)
    write_atomically(request.out / "card.json", (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
    top1 = card["top1"]
    say(
        f"{top1['percent']:.2f} % of {top1['n']} held-out pictures "
        f"({top1['low']:.2f} to {top1['high']:.2f} %), stored as fp16 → {path}"
    )
    return path


def _card(
    request: PictureRequest,
    pictures: TrainingSet,
    preprocess: Preprocess,
    logits: Tensor,
    targets: "np.typing.NDArray[np.int64]",
    trainer: Trainer,
    curve: list[EpochResult],
) -> dict[str, Any]:
    return {
        "architecture": request.options.model,
        "arguments": {**request.options.arguments, "num_classes": len(pictures.classes)},
        "preprocess": {"size": preprocess.size, "crop_pct": preprocess.crop_pct, "interpolation": "bicubic",
                       "mean": list(preprocess.mean), "std": list(preprocess.std)},
        "data": request.data_title,
        "licence": request.licence,
        "command": request.command,
        "options": request.options.to_json(),
        "training_pictures": len(trainer.train),
        "classes": list(pictures.classes),
        "top1": _accuracy(logits, targets, 1),
        "top5": _accuracy(logits, targets, 5),
        "curve": [asdict(result) for result in curve],
        "dtype": "float16",
        "environment": {
            "machine": platform.machine(),
            "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "timm": timm.__version__,
            "threads": torch.get_num_threads(),
            "seconds": round(trainer.position.seconds, 1),
            "finished": time.strftime("%Y-%m-%d", time.gmtime()),
        },
    }  # fmt: skip


def _accuracy(logits: Tensor, targets: "np.typing.NDArray[np.int64]", k: int) -> dict[str, float]:
    ranked = logits.topk(min(k, logits.shape[1]), 1).indices == torch.from_numpy(targets)[:, None]
    figure = proportion(int(ranked.any(1).sum()), len(targets))
    low, high = figure.low or 0.0, figure.high or 0.0
    return {"percent": 100 * figure.value, "n": figure.n, "low": 100 * low, "high": 100 * high}
