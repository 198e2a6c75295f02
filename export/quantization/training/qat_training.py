"""Fine-tuning a fake-quantized model: AdamW on a cosine schedule, distilled from the float model."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.records import ModelSpec
from export.core.schema import Count, NonNegative, Positive, PositiveInt, Proportion, Record
from export.data.fashion import LABELS, PREPROCESS
from export.models.catalog import MODELS
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.quantization.recipes import Recipe
from export.quantization.training.images import TrainedImages
from export.quantization.training.qat import tracking, trainable

SCALE_LR_FACTOR = 10.0  # of learned scales to that of weights: they are few, and relative (see `learned_scale`)
WARMUP = 0.05  # of all training steps


class FinetuneOptions(Record, frozen=True, kw_only=True):
    """Everything that decides the result besides data, weights and recipe.

    `epochs` may be a fraction; `lr` is the peak learning rate; `smoothing` that of labels; `distillation` the share of
    the loss that is the KL divergence from the float model's outputs.
    """

    epochs: Positive
    batch_size: PositiveInt
    lr: Positive
    weight_decay: NonNegative
    smoothing: Proportion
    distillation: Proportion
    seed: Count


def load_trained(model: str, checkpoint: Path | None) -> tuple[ModelSpec, nn.Module]:
    """Return a float model that was trained on Fashion-MNIST, in evaluation mode; None for the embedded weights.

    Raises `RequestError` when there are none or they are for another number of classes, and what `load` does.
    """
    entry = MODELS[model]
    if checkpoint is None and not entry.embedded:
        raise RequestError(f"--model {model} has no embedded weights", hint="pass --checkpoint FILE")
    spec, module = load(ModelRequest(model=model, checkpoint=checkpoint), tell=lambda _: None)
    if spec.outputs != len(LABELS):
        raise RequestError(
            f"{checkpoint} has {spec.outputs} classes; Fashion-MNIST has {len(LABELS)}",
            hint="pass a checkpoint trained on Fashion-MNIST, or --data with its own pictures",
        )
    fashion = MODELS["fashion"]
    if not entry.embedded:
        spec = replace(
            spec,
            name=f"{model}_fashion",
            title=f"{spec.title} (Fashion-MNIST)",
            preprocess=PREPROCESS,
            labels=LABELS,
            source=fashion.source,
        )
    return spec, module


def calibration_images(data: TrainedImages, count: int, seed: int) -> Tensor:
    """Return `count` images drawn from `data`, normalised, `[count, 3, H, W]`; raises `RequestError` if too few."""
    if count > len(data):
        raise RequestError(f"calibration needs {count} images, but there are {len(data)}", hint="pass more pictures")
    chosen = np.sort(np.random.default_rng(seed).choice(len(data), count, replace=False))
    return data.inputs(chosen)


class Finetuning:
    """The training of a fake-quantized model: the state that a checkpoint holds, and its steps."""

    def __init__(
        self, module: nn.Module, recipe: Recipe, options: FinetuneOptions, data: TrainedImages, device: torch.device
    ) -> None:
        assert recipe.quantization is not None
        calibration = recipe.quantization.calibration
        self.recipe, self.options, self.data, self.device, self.step = recipe, options, data, device, 0
        self.teacher = module.to(device).eval()
        images = calibration_images(data, calibration.images, calibration.seed).to(device)
        self.module = trainable(self.teacher, recipe, images)
        self.per_epoch = len(data) // options.batch_size
        self.steps = round(options.epochs * self.per_epoch)
        if self.steps < 1:
            raise RequestError(
                f"--epochs {options.epochs} of {len(data)} images is less than one batch of {options.batch_size}",
                hint="pass more --epochs, or a smaller --batch-size",
            )
        self.optimizer = torch.optim.AdamW(self._groups(), lr=options.lr)
        self.scheduler = CosineLRScheduler(
            self.optimizer,
            t_initial=self.steps,
            lr_min=0.0,
            warmup_t=int(WARMUP * self.steps),
            warmup_lr_init=0.0,
            t_in_epochs=False,
        )

    def _groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups: weights, which decay, learned scales, and the rest."""
        weights: dict[str, Any] = {"params": [], "weight_decay": self.options.weight_decay}
        scales: dict[str, Any] = {"params": [], "weight_decay": 0.0, "lr": self.options.lr * SCALE_LR_FACTOR}
        rest: dict[str, Any] = {"params": [], "weight_decay": 0.0}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                last = name.rpartition(".")[2]
                {"value": weights, "log_scale": scales}.get(last, rest)["params"].append(parameter)
        return [group for group in (weights, scales, rest) if group["params"]]

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield which images the batches after the steps that are done have; every epoch has an order of its own."""
        epoch, done = divmod(self.step, self.per_epoch)
        while True:
            generator = torch.Generator().manual_seed(self.options.seed + epoch)
            order = torch.randperm(len(self.data), generator=generator).numpy()
            for batch in range(done, self.per_epoch):
                yield order[batch * self.options.batch_size :][: self.options.batch_size]
            epoch, done = epoch + 1, 0

    def train_steps(self, count: int) -> float:
        """Train up to `count` steps and return their mean loss."""
        until, total = min(self.step + count, self.steps), 0.0
        classes = torch.from_numpy(self.data.classes())
        remaining = itertools.islice(self._batches(), until - self.step)
        first = self.step
        bar = tqdm(
            remaining, total=self.steps, initial=first, unit="step", leave=False, mininterval=5, desc=self.recipe.name
        )
        with tracking(self.module):
            for positions in bar:
                torch.manual_seed(self.options.seed + self.step)  # so that a resumed run repeats an uninterrupted one
                self.scheduler.step_update(self.step)
                pixels = self.data.augment(self.data.batch(positions))
                loss = self._loss(pixels.to(self.device), classes[positions].to(self.device))
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.step += 1
                total += loss.item()
        return total / max(1, self.step - first)

    def _loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        share = self.options.distillation
        logits = self.module(pixels)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.options.smoothing)
        if share == 0:
            return loss
        with torch.no_grad():
            target = self.teacher(pixels).log_softmax(1)
        distillation = F.kl_div(logits.log_softmax(1), target, reduction="batchmean", log_target=True)
        return (1 - share) * loss + share * distillation

    def save(self, path: Path, key: str) -> None:
        """Write the checkpoint whole or not at all; `key` is the hash of all that decides the result."""
        state = {
            "key": key,
            "step": self.step,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path, key: str) -> None:
        """Resume from a checkpoint with the same key; raises `RequestError` otherwise."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["key"] != key:
            raise RequestError(
                f"{path} was made with other options, weights or data",
                hint="resume with the same ones, or start over in another --out folder",
            )
        self.step = state["step"]
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
