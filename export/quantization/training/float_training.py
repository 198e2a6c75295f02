"""Training of float models: the options, the augmentation, and an epoch with timm's optimiser, schedule and EMA."""

import functools
import io
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.data.random_erasing import RandomErasing
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from export.core.errors import RequestError
from export.core.files import write_atomically
from export.data.fashion import LABELS, MEAN, STD, LabelledImages
from export.models.catalog import MODELS
from export.training.devices import has_fast_bfloat16

PATCHES = 49


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything that decides the result, as the checkpoint and the model card have it.

    `phases` are pairs of epochs and the share of patches dropped in them.
    """

    model: str = "fashion"
    optimizer: str = "nadamuon"
    phases: tuple[tuple[int, float], ...]
    batch_size: int
    lr: float
    weight_decay: float
    warmup_epochs: float
    erase_prob: float
    smoothing: float
    ema_decay: float
    seed: int

    @property
    def epochs(self) -> int:
        """The passes over the training images, all phases together."""
        return sum(epochs for epochs, _ in self.phases)

    def patch_drop(self, epoch: int) -> float:
        """Return the share of patches dropped in an epoch, counted from 0."""
        for epochs, share in self.phases:
            if epoch < epochs:
                return share
            epoch -= epochs
        raise RequestError(f"epoch {epoch} is after the last phase", hint="train with more epochs in --phases")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, phases as lists."""
        return {**asdict(self), "phases": [list(phase) for phase in self.phases]}


def architecture(model: str) -> nn.Module:
    """Return a catalog model for images of 28×28 pixels and Fashion-MNIST's classes, freshly initialised."""
    entry = MODELS[model]
    module: nn.Module = timm.create_model(entry.timm_name, **{"num_classes": len(LABELS), **entry.arguments})
    return module


class PatchSubset(nn.Module):
    """Keep a random share of the patch tokens: faster epochs and a regulariser (PatchDropout, arXiv 2208.07220)."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = PATCHES

    def drop(self, share: float) -> None:
        """Drop this share of the patches from now on."""
        self.keep = max(1, round(PATCHES * (1 - share)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `[n, 1 + keep, dim]` of `[n, 1 + patches, dim]` in training, everything otherwise."""
        if not self.training or self.keep >= PATCHES:
            return tokens
        count, patches, dim = tokens.shape[0], tokens.shape[1] - 1, tokens.shape[2]
        order = torch.rand(count, patches, device=tokens.device).argsort(1)[:, : self.keep, None]
        return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, order.expand(-1, -1, dim))], 1)


def augment(images: Tensor, erase: RandomErasing) -> Tensor:
    """Flip, shift by up to two pixels, normalise and erase; `uint8 [n, 28, 28]` → `float32 [n, 3, 28, 28]`."""
    count = len(images)
    flipped = torch.where(torch.rand(count, 1, 1) < 0.5, images.flip(2), images)
    padded = F.pad(flipped, (2, 2, 2, 2))
    offset = torch.randint(0, 5, (2, count, 1, 1))
    rows, columns = offset[0] + torch.arange(28)[None, :, None], offset[1] + torch.arange(28)[None, None, :]
    shifted = padded[torch.arange(count)[:, None, None], rows, columns]
    erased: Tensor = erase(normalise(shifted))
    return erased


def normalise(images: Tensor) -> Tensor:
    """Return `float32 [n, 3, 28, 28]`, the grey value in every channel."""
    return ((images.float() / 255 - MEAN) / STD)[:, None].repeat(1, 3, 1, 1)


def batches(data: LabelledImages, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled full batches: images `uint8 [size, 28, 28]` and labels `int64 [size]`."""
    images, labels = torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.astype(np.int64))
    order = torch.randperm(len(data), generator=generator)
    for chosen in order[: len(order) // size * size].split(size):  # type: ignore[no-untyped-call]
        yield images[chosen], labels[chosen]


def accuracy(model: nn.Module, data: LabelledImages, device: torch.device) -> float:
    """Return top-1 accuracy in percent, in float32."""
    return 100 * hits(model, data, device) / len(data)


@torch.inference_mode()
def hits(model: nn.Module, data: LabelledImages, device: torch.device) -> int:
    """Return how many images are classified correctly, in float32."""
    model.eval()
    correct = 0
    for start in range(0, len(data), 500):
        pixels = normalise(torch.from_numpy(data.images[start : start + 500].copy())).to(device)
        predictions = model(pixels).argmax(1).cpu().numpy()
        correct += int((predictions == data.labels[start : start + 500]).sum())
    return correct


def _optimizer(model: nn.Module, options: TrainOptions, device: torch.device) -> Any:
    from timm.optim import create_optimizer_v2, muon  # which import PyTorch's compiler

    if not has_fast_bfloat16(device):  # Muon's Newton-Schulz iterations are bfloat16 unless told otherwise
        in_floats = functools.partial(muon.zeropower_via_newtonschulz, dtype=torch.float32)
        muon.zeropower_via_newtonschulz = in_floats
    return create_optimizer_v2(model, opt=options.optimizer, lr=options.lr, weight_decay=options.weight_decay)


class Training:
    """The training of a float model: the state that a checkpoint holds, and its epochs."""

    def __init__(self, options: TrainOptions, steps: int, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.steps, self.device, self.epoch = options, steps, device, 0
        self.model = architecture(options.model).to(device)
        self.subset = PatchSubset()
        if hasattr(self.model, "pos_drop"):
            self.model.pos_drop = self.subset  # the place in timm's forward just after the position embedding
        elif any(share for _, share in options.phases):
            raise RequestError(
                f"--phases: {options.model} has no patches to drop", hint="use 0 as their share, such as 2:0"
            )
        self.ema = ModelEmaV3(self.model, decay=options.ema_decay, use_warmup=True)
        self.optimizer = _optimizer(self.model, options, device)
        self.scheduler = CosineLRScheduler(
            self.optimizer,
            t_initial=options.epochs * steps,
            lr_min=options.lr / 400,
            warmup_t=int(options.warmup_epochs * steps),
            warmup_lr_init=options.lr / 100,
            t_in_epochs=False,
        )
        self.erase = RandomErasing(probability=options.erase_prob, mode="const", max_area=0.25, device="cpu")
        self.bfloat16 = has_fast_bfloat16(device)

    def run_epoch(self, data: LabelledImages) -> float:
        """Train one epoch and return its mean loss."""
        options, total = self.options, 0.0
        torch.manual_seed(options.seed + 1 + self.epoch)  # so that a resumed run repeats an uninterrupted one
        random.seed(options.seed + 1 + self.epoch)  # timm's RandomErasing draws from it
        self.subset.drop(options.patch_drop(self.epoch))
        self.model.train()
        generator = torch.Generator().manual_seed(options.seed + self.epoch)
        bar = tqdm(
            batches(data, options.batch_size, generator),
            total=self.steps,
            unit="step",
            leave=False,
            desc=f"epoch {self.epoch + 1}/{options.epochs}",
            mininterval=5,
        )
        for step, (images, labels) in enumerate(bar, self.epoch * self.steps):
            self.scheduler.step_update(step)
            pixels = augment(images, self.erase).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                logits = self.model(pixels)
            loss = F.cross_entropy(logits.float(), labels.to(self.device), label_smoothing=options.smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update(self.model, step=step)
            total += loss.item()
        self.epoch += 1
        return total / self.steps

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "options": self.options.to_json(),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
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
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
