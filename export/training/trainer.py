"""The training loop: schedule, mixed targets, teacher, average of weights, and checkpoints from which it goes on."""

import io
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from export.core.console import bar, format_seconds, say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.data.picture_arrays import PictureArray
from export.training import augmentation
from export.training.options import PictureTrainOptions
from export.training.teacher import Teacher
from export.training.weight_noise import WeightNoise

CHECKPOINT_SECONDS = 60  # what an ended run loses at most
NOISE_FROM = 2 / 3  # of the steps
FINAL_LR = 0.01  # of the peak
VALIDATION_BATCH = 500


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What the curves show of an epoch (counted from 1): mean loss, and the averaged weights on the validation."""

    epoch: int
    loss: float
    top1_percent: float
    top5_percent: float
    seconds: float


@dataclass(slots=True)
class Position:
    """Where training is: the next `step`, the `loss` summed since the epoch's start, and the finished epochs."""

    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    curve: list[EpochResult] = field(default_factory=list)


class Trainer:
    """The state of training, which a checkpoint holds whole, and its epochs."""

    def __init__(
        self,
        module: nn.Module,
        options: PictureTrainOptions,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        train: PictureArray,
        classes: int,
        teacher: Teacher | None,
        device: torch.device,
    ) -> None:
        self.options, self.train, self.classes, self.teacher, self.device = options, train, classes, teacher, device
        self.module = module.to(device, memory_format=torch.channels_last)
        self.mean, self.std = (torch.tensor(values, device=device)[:, None, None] for values in normalisation)
        self.steps_per_epoch = max(1, len(train) // options.batch_size)
        self.steps = max(1, round(options.epochs * self.steps_per_epoch))
        self.optimizer: Any = create_optimizer_v2(
            self.module,
            opt=options.optimizer,
            lr=options.lr,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay if options.layer_decay < 1 else None,
        )
        self.peaks = [group["lr"] * group.get("lr_scale", 1.0) for group in self.optimizer.param_groups]
        self.ema = ModelEmaV3(self.module, decay=options.ema_decay, use_warmup=True)
        self.noise = WeightNoise(self.module, options.noise_bits) if options.noise_bits else None
        self.position = Position()
        self.bfloat16 = device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())
        self.images = self._near_device(train)
        self.targets = torch.from_numpy(train.targets).to(device)

    def _near_device(self, train: PictureArray) -> Tensor | None:
        """Return all pictures on a GPU that has room for them."""
        if self.device.type != "cuda" or train.images.nbytes > torch.cuda.mem_get_info(self.device)[0] / 4:
            return None
        return torch.from_numpy(np.ascontiguousarray(train.images)).to(self.device)

    def run(self, validation: PictureArray, checkpoint: Path) -> list[EpochResult]:
        """Train to the end, writing the checkpoint every minute; return the curve."""
        saved = started = time.perf_counter()
        before, first = self.position.seconds, self.position.step
        with bar("training", self.steps, "step") as progress:
            progress.update(first)
            while self.position.step < self.steps:
                self._step(self.position.step)
                self.position.step += 1
                progress.update()
                now = time.perf_counter()
                self.position.seconds = before + now - started
                if self.position.step % self.steps_per_epoch == 0 or self.position.step == self.steps:
                    self._end_epoch(validation, (now - started) / (self.position.step - first))
                if now - saved > CHECKPOINT_SECONDS or self.position.step == self.steps:
                    self.save(checkpoint)
                    saved = time.perf_counter()
        return self.position.curve

    def _end_epoch(self, validation: PictureArray, pace: float) -> None:
        position, options = self.position, self.options
        done = position.step % self.steps_per_epoch or self.steps_per_epoch
        probabilities = self.predict(validation)
        top1, top5 = top_k_percent(probabilities, validation.targets)
        epoch = math.ceil(position.step / self.steps_per_epoch)
        loss = float(position.loss) / done
        position.curve.append(EpochResult(epoch, loss, top1, top5, position.seconds))
        position.loss = 0.0
        left = format_seconds(pace * (self.steps - position.step))
        say(
            f"epoch {epoch}/{math.ceil(options.epochs)}  loss {loss:.4f}  top-1 {top1:.2f} %  top-5 {top5:.2f} %  "
            f"{position.seconds:.0f} s, about {left} left"
        )

    def _step(self, step: int) -> None:
        torch.manual_seed(self.options.seed * 1_000_003 + step)  # a resumed run repeats an uninterrupted one
        self._set_rates(step)
        self.module.train()
        pixels, targets = self._batch(step)
        normalised = (pixels - self.mean) / self.std
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            noise = self.noise.draw() if self.noise and step >= NOISE_FROM * self.steps else {}
            logits = torch.func.functional_call(self.module, noise, (normalised,)) if noise else self.module(normalised)
        loss = self._loss(logits.float(), pixels, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.module, step=step)
        self.position.loss = self.position.loss + loss.detach()

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return augmented pictures in 0..1 and mixed targets `[n, K]` of a step."""
        options = self.options
        chosen = self._order(step // self.steps_per_epoch)
        at = step % self.steps_per_epoch * options.batch_size
        index = chosen[at : at + options.batch_size]
        if self.images is None:
            images = torch.from_numpy(self.train.images[np.sort(index.numpy())]).to(self.device)
            index = index.sort().values
        else:
            images = self.images[index.to(self.device)]
        targets = F.one_hot(self.targets[index.to(self.device)], self.classes).float()
        targets = targets * (1 - options.smoothing) + options.smoothing / self.classes
        pixels = augmentation.random_crop(images, options.image_size, options.crop_min)
        pixels = augmentation.change_sharpness(augmentation.change_colours(pixels, options.jitter))
        if options.erase_prob:
            pixels = augmentation.erase(pixels, options.erase_prob)
        return augmentation.mix(pixels, targets, options.mixup, options.cutmix)

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.train), generator=generator)

    def _loss(self, logits: Tensor, pixels: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with the targets, and with the teacher's probabilities for the same pictures."""
        predicted = logits.log_softmax(1)
        loss = -(targets * predicted).sum(1).mean()
        if self.teacher is None:
            return loss
        taught = self.teacher(pixels)
        return torch.lerp(loss, -(taught.exp() * predicted).sum(1).mean(), self.options.distillation)

    def _set_rates(self, step: int) -> None:
        """Linear warm-up, then a half cosine."""
        warmup = self.options.warmup_epochs * self.steps_per_epoch
        through = max(0.0, (step - warmup) / max(1.0, self.steps - warmup))
        factor = min(1.0, (step + 1) / max(1.0, warmup)) * (
            FINAL_LR + (1 - FINAL_LR) * (1 + math.cos(math.pi * min(1.0, through))) / 2
        )
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    @torch.inference_mode()
    def predict(self, pictures: PictureArray) -> Tensor:
        """Return the averaged weights' logits `float32 [n, K]`; pictures have the model's size."""
        return predict(self.ema.module, pictures, self.mean, self.std, self.device)

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "options": self.options.to_json(),
            "step": self.position.step,
            "loss": float(self.position.loss),
            "seconds": self.position.seconds,
            "curve": [[*_values(result)] for result in self.position.curve],
            "model": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Resume from a checkpoint made with the same options; raises `RequestError` otherwise."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["options"] != self.options.to_json():
            raise RequestError(
                f"{path} was made with other options: {state['options']}",
                hint="resume with the same options, or start over in another --out folder",
            )
        curve = [EpochResult(*values) for values in state["curve"]]
        self.position = Position(state["step"], state["loss"], state["seconds"], curve)
        self.module.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def _values(result: EpochResult) -> tuple[int, float, float, float, float]:
    return result.epoch, result.loss, result.top1_percent, result.top5_percent, result.seconds


@torch.inference_mode()
def predict(module: nn.Module, pictures: PictureArray, mean: Tensor, std: Tensor, device: torch.device) -> Tensor:
    """Return logits `float32 [n, K]` on the CPU; in bfloat16 on a GPU, in float32 elsewhere."""
    module.eval()
    rows = []
    for start in range(0, len(pictures), VALIDATION_BATCH):
        images = torch.from_numpy(np.ascontiguousarray(pictures.images[start : start + VALIDATION_BATCH])).to(device)
        pixels = (images.permute(0, 3, 1, 2).float() / 255 - mean) / std
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            rows.append(module(pixels).float().cpu())
    return torch.cat(rows)


def top_k_percent(logits: Tensor, targets: "np.typing.NDArray[np.int64]") -> tuple[float, float]:
    """Return top-1 and top-5 accuracy in percent."""
    ranked = logits.topk(min(5, logits.shape[1]), 1).indices == torch.from_numpy(targets)[:, None]
    return 100 * ranked[:, 0].float().mean().item(), 100 * ranked.any(1).float().mean().item()
