"""Training a float model from the images to its files: checkpoints, fp16 weights, and a model card."""

import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import save as to_safetensors

from export.core.console import say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.paths import ASSETS
from export.data.fashion import LabelledImages, read_full, write_embedded
from export.models.catalog import MODELS
from export.quantization.training.defaults import DATASETS
from export.quantization.training.float_training import Training, TrainOptions, accuracy

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class FloatRequest:
    """What to train and where to write it; `stop_after` epochs, or all; `install` replaces the embedded files.

    `data` is the folder of Fashion-MNIST, and `command` what the model card says of how the weights were made.
    """

    options: TrainOptions
    data: Path | None
    out: Path
    command: str
    stop_after: int | None = None
    resume: bool = False
    install: bool = False

    def __post_init__(self) -> None:
        if self.install and self.options.model != "fashion":
            raise RequestError(f"--install: {self.options.model} is not embedded in this project", hint="leave it out")
        if not 0 < self.last_epoch <= self.options.epochs:
            raise RequestError(
                f"--stop-after {self.last_epoch} must be from 1 to {self.options.epochs}, the epochs of --phases",
                hint="leave it out to train all of them",
            )

    @property
    def last_epoch(self) -> int:
        """The epoch after which training ends, counted from 1."""
        return self.options.epochs if self.stop_after is None else self.stop_after


def train_float(request: FloatRequest) -> Path:
    """Train, checkpoint after every epoch, write weights and card, and return the file of weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    request.out.mkdir(parents=True, exist_ok=True)
    train, test = (read_full(split, request.data, DATASETS) for split in ("train", "t10k"))
    training = Training(request.options, len(train) // request.options.batch_size, device)
    checkpoint = request.out / CHECKPOINT
    if request.resume:
        if not checkpoint.exists():
            raise RequestError(f"--resume: there is no checkpoint at {checkpoint}", hint="run without --resume first")
        training.load(checkpoint)
        say(f"resuming after epoch {training.epoch}")
    started = time.perf_counter()
    while training.epoch < request.last_epoch:
        loss = training.run_epoch(train)
        training.save(checkpoint)
        top1 = accuracy(training.ema.module, test, device)
        seconds = time.perf_counter() - started
        say(
            f"epoch {training.epoch}/{request.options.epochs}  loss {loss:.4f}  EMA top-1 {top1:.2f} %  {seconds:.0f} s"
        )
    top1 = accuracy(training.ema.module.half().float(), test, device)
    path = write_result(training, top1, test, request.command, request.out)
    if request.install:
        write_result(training, top1, test, request.command, ASSETS)
        write_embedded(train, test, ASSETS)
    say(f"{top1:.2f} % on {len(test)} test images, stored as fp16 → {path}")
    return path


def write_result(training: Training, top1: float, test: LabelledImages, command: str, out: Path) -> Path:
    """Write the EMA weights as fp16 safetensors with a model card beside them; return the file of weights."""
    state, model = training.ema.module.state_dict(), training.options.model
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    weights = {name: value.contiguous().cpu() for name, value in halves.items()}
    path = out / f"{model}.safetensors"
    write_atomically(path, to_safetensors(weights, metadata={"format": "pt"}))
    entry, data = MODELS[model], MODELS["fashion"]
    card = {
        "model": model,
        "architecture": entry.timm_name,
        "arguments": dict(entry.arguments),
        "data": "Fashion-MNIST, 60,000 training images (Zalando Research)",
        "licence": data.licence,
        "source": data.source,
        "command": command,
        "options": training.options.to_json(),
        "top1_percent": top1,
        "n": len(test),
        "dtype": "float16",
        "environment": {
            "machine": platform.machine(),
            "device": training.device.type,
            "torch": torch.__version__,
            "timm": timm.__version__,
            "threads": torch.get_num_threads(),
        },
    }
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())
    return path
