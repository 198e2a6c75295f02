"""The training loop: schedule, mixed targets, teacher, average of weights, and checkpoints from which it goes on."""

import io
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from export.core.console import LongProgress, format_seconds, say
from export.core.errors import ExportError, RequestError
from export.core.files import write_atomically
from export.training.devices import uses_bfloat16
from export.training.loop.batches import Batch, Batches, HeldOut
from export.training.loop.interrupts import Interrupts, between_steps
from export.training.loop.weight_noise import WeightNoise
from export.training.model.frozen import UpperBlocks
from export.training.model.teacher import Teacher
from export.training.options import PictureTrainOptions
from export.training.results.card import EpochResult, accuracy

CHECKPOINT_SECONDS = 60.0  # what an ended run loses at most
NOISE_FROM = 2 / 3  # of the steps
FINAL_LR = 0.01  # of the peak
VALIDATION_BATCH = 500
STREAM = 1_000_003  # seeds of steps lie that far apart for seeds of runs


@dataclass(slots=True)
class Position:
    """Where training is: the next `step`, the seconds it took so far, and the results of the epochs."""

    step: int = 0
    seconds: float = 0.0
    curve: list[EpochResult] = field(default_factory=list)


class Trainer:
    """The state of training, which a checkpoint holds whole, and its steps.

    With frozen blocks, only those above are trained. `origin` is what else decides the result: the pictures' digest,
    and the hashes of first weights and teacher; a checkpoint is loaded where it is the same.
    """

    def __init__(
        self,
        module: nn.Module,
        batches: Batches,
        options: PictureTrainOptions,
        teacher: Teacher | None,
        device: torch.device,
        origin: dict[str, str],
    ) -> None:
        self.options, self.batches, self.teacher, self.device, self.origin = options, batches, teacher, device, origin
        self.module = module.to(device).to(memory_format=torch.channels_last)
        self.steps_per_epoch = max(1, len(batches) // options.batch_size)
        self.steps = max(1, round(options.epochs * self.steps_per_epoch))
        self.optimizer = make_optimizer(self.module, options)
        self.peaks = [group["lr"] * group.get("lr_scale", 1.0) for group in self.optimizer.param_groups]
        self.ema = ModelEmaV3(self.module, decay=options.ema_decay, use_warmup=True)
        self.trained = self._trained_part(self.module)
        self.noise = WeightNoise(self.trained, options.noise_bits) if options.noise_bits else None
        self.bfloat16 = uses_bfloat16(module, device)
        self.position = Position()
        self.loss_sum = torch.zeros((), device=device)  # since the epoch's start

    def _trained_part(self, module: nn.Module) -> nn.Module:
        return UpperBlocks(module, self.options.frozen_blocks) if self.options.frozen_blocks else module

    def run(self, held_out: HeldOut, checkpoint: Path, every: float = CHECKPOINT_SECONDS) -> list[EpochResult]:
        """Train to the end, writing the checkpoint `every` so many seconds and on Ctrl-C; return the curve."""
        with (
            between_steps() as interrupts,
            LongProgress("training", self.steps, "step", self.position.step) as progress,
        ):
            try:
                self._run(held_out, checkpoint, every, progress, interrupts)
            except KeyboardInterrupt:
                self.save(checkpoint)
                say(f"\nstep {self.position.step} of {self.steps} is kept in {checkpoint}: go on with --resume")
                raise
        return self.position.curve

    def _run(
        self, held_out: HeldOut, checkpoint: Path, every: float, progress: LongProgress, interrupts: Interrupts
    ) -> None:
        position, started, before = self.position, time.perf_counter(), self.position.seconds
        saved, evaluation = started, 0.0
        while True:
            now = time.perf_counter()
            position.seconds = before + now - started
            ends = self._epoch_ends()
            if now - saved + (evaluation if ends else 0.0) > every:
                self.save(checkpoint)
                saved = time.perf_counter()
            if ends:
                logits = self.predict(held_out)
                with interrupts.holding():
                    self._end_epoch(logits, held_out, progress)
                evaluation = time.perf_counter() - now
            if position.step == self.steps:
                break
            with interrupts.holding():
                self._step(position.step)
                position.step += 1
            progress.step()
        self.save(checkpoint)

    def _epoch_ends(self) -> bool:
        """Say whether an epoch is complete whose result is not in the curve yet."""
        step, size = self.position.step, self.steps_per_epoch
        return (step % size == 0 or step == self.steps) and len(self.position.curve) < math.ceil(step / size)

    def _end_epoch(self, logits: Tensor, held_out: HeldOut, progress: LongProgress) -> None:
        position = self.position
        top1, top5 = (accuracy(logits, held_out.targets, k).percent for k in (1, 5))
        epoch = math.ceil(position.step / self.steps_per_epoch)
        loss = float(self.loss_sum) / (position.step % self.steps_per_epoch or self.steps_per_epoch)
        position.curve.append(
            EpochResult(epoch=epoch, loss=loss, top1_percent=top1, top5_percent=top5, seconds=position.seconds)
        )
        self.loss_sum = torch.zeros_like(self.loss_sum)
        left = f", about {progress.time_left()} left" if position.step < self.steps else ""
        say(
            f"epoch {epoch}/{math.ceil(self.options.epochs)}  loss {loss:.4f}  top-1 {top1:.2f} %  top-5 {top5:.2f} %  "
            f"{format_seconds(position.seconds)}{left}"
        )

    def _step(self, step: int) -> None:
        torch.manual_seed(self.options.seed * STREAM + step)  # a resumed run repeats an uninterrupted one
        self._set_rates(step)
        self.module.train()
        batch = self.batches.draw(self._positions(step))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            noise = self.noise.draw() if self.noise and step >= NOISE_FROM * self.steps else {}
            logits = torch.func.functional_call(self.trained, noise, (batch.inputs,))
        loss = self._loss(logits.float(), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.module, step=step)
        self.loss_sum += loss.detach()

    def _positions(self, step: int) -> Tensor:
        """Return which examples a step takes: every epoch has an order of its own."""
        epoch, place = divmod(step, self.steps_per_epoch)
        generator = torch.Generator().manual_seed(self.options.seed * STREAM + epoch)
        order = torch.randperm(len(self.batches), generator=generator)
        return order[place * self.options.batch_size :][: self.options.batch_size]

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy with the targets, and with the teacher's probabilities for the same pictures."""
        predicted = logits.log_softmax(1)
        loss = -(batch.targets * predicted).sum(1).mean()
        if self.teacher is None or batch.pixels is None:
            return loss
        taught = self.teacher(batch.pixels)
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

    def predict(self, held_out: HeldOut) -> Tensor:
        """Return the averaged weights' logits `float32 [n, K]`."""
        return predict(self._trained_part(self.ema.module), held_out, self.device)

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all; raises `ExportError` where training has diverged."""
        if not self.loss_sum.isfinite():
            raise ExportError(
                f"training has diverged: the loss is {self.loss_sum.item()} at step {self.position.step}",
                hint="train again with a smaller --lr or more --warmup-epochs",
            )
        state = {
            "options": self.options.to_json(),
            "origin": self.origin,
            "step": self.position.step,
            "loss": float(self.loss_sum),
            "seconds": self.position.seconds,
            "curve": [result.to_json() for result in self.position.curve],
            "model": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Resume from a checkpoint of the same options, pictures and weights; raises `RequestError` for any other."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            differences = _differences(state, self.options.to_json(), self.origin)
        except Exception as error:  # torch raises some eight kinds for what is not a checkpoint
            raise RequestError(f"--resume: {path} is no checkpoint of this command", hint="start over") from error
        if differences:
            raise RequestError(
                f"--resume: {path} was made with other options: {'; '.join(differences)}",
                hint="resume with the same options and pictures, or start over in another --out folder",
            )
        self.position = Position(state["step"], state["seconds"], [EpochResult(**values) for values in state["curve"]])
        self.loss_sum = torch.tensor(state["loss"], device=self.device)
        self.module.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def make_optimizer(module: nn.Module, options: PictureTrainOptions) -> Any:
    """Return timm's optimizer of that name, its learning rates by layer; raises `RequestError` for an unknown one."""
    from timm.optim import create_optimizer_v2  # which imports PyTorch's compiler

    try:
        return create_optimizer_v2(
            module,
            opt=options.optimizer,
            lr=options.lr,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay if options.layer_decay < 1 else None,
        )
    except (ValueError, AssertionError, KeyError) as error:
        raise RequestError(f"--optimizer {options.optimizer}: {error}", hint="adamw, sgd, lamb …") from error


def _differences(state: dict[str, Any], options: dict[str, Any], origin: dict[str, str]) -> list[str]:
    """Return in which options, and in which of the pictures and weights, a checkpoint differs."""
    found = [
        f"{name} {state['options'].get(name)!r}, not {value!r}"
        for name, value in options.items()
        if state["options"].get(name) != value
    ]
    return found + [f"other {name}" for name, value in origin.items() if state["origin"].get(name) != value]


@torch.inference_mode()
def predict(module: nn.Module, held_out: HeldOut, device: torch.device) -> Tensor:
    """Return logits `float32 [n, K]` on the CPU; in bfloat16 on a GPU, in float32 elsewhere."""
    module.eval()
    rows = []
    for start in range(0, len(held_out.targets), VALIDATION_BATCH):
        inputs = held_out.inputs(start, start + VALIDATION_BATCH)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            rows.append(module(inputs).float().cpu())
    return torch.cat(rows)
