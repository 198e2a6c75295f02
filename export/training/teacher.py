"""A teacher: another classifier whose probabilities for the same augmented pictures are part of the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data.model_config import resolve_input_data_config
from torch import Tensor
from torch.nn import functional as F

from export.core.errors import RequestError
from export.data.labels.known import imagenet_synsets
from export.training.architecture import create_model, load_first_weights
from export.training.options import PictureTrainOptions


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """The teacher `model`: a timm name with its weights in `checkpoint`, or an ONNX file; `image_size` is its input's.

    ONNX takes `float32 [n, 3, size, size]`, normalised with `mean` and `std`, and returns logits or probabilities
    `[n, K]`.
    """

    model: str
    checkpoint: Path | None
    image_size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Teacher:
    """Computes the teacher's log-probabilities for pictures in 0..1."""

    def __init__(
        self, logits: Callable[[Tensor], Tensor], request: TeacherRequest, rows: Sequence[int], device: torch.device
    ) -> None:
        self.logits, self.size, self.device = logits, request.image_size, device
        self.rows = torch.tensor(rows, device=device)
        self.mean, self.std = (
            torch.tensor(values, device=device)[:, None, None] for values in (request.mean, request.std)
        )

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return log-probabilities `float32 [n, classes]` of `float32 [n, 3, H, W]` in 0..1."""
        if pixels.shape[-1] != self.size:
            pixels = F.interpolate(pixels, size=(self.size, self.size), mode="bilinear", antialias=True)
        logits = self.logits((pixels - self.mean) / self.std).float()
        return logits[:, self.rows].log_softmax(1)


def load_teacher(request: TeacherRequest, classes: Sequence[str], device: torch.device) -> Teacher:
    """Return the teacher for these classes, in order, or for ImageNet's when they are its WordNet ids.

    Raises `RequestError` when its outputs are neither.
    """
    if request.model.endswith(".onnx"):
        logits, outputs = _onnx(Path(request.model))
        return Teacher(logits, request, _rows(request.model, outputs, classes), device)
    options = PictureTrainOptions(model=request.model, image_size=request.image_size, drop_path=0.0)
    module = create_model(options, len(classes))
    if request.checkpoint is None:
        raise RequestError(f"--teacher {request.model}: a teacher needs weights", hint="pass --teacher-checkpoint FILE")
    load_first_weights(module, request.checkpoint, classes, _no_fresh_head)
    module = module.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    config = resolve_input_data_config(module)
    own = TeacherRequest(request.model, request.checkpoint, request.image_size, config["mean"], config["std"])

    def run(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            result: Tensor = module(pixels.contiguous(memory_format=torch.channels_last))
        return result

    return Teacher(run, own, range(len(classes)), device)


def _no_fresh_head(note: str) -> None:
    if "starts afresh" in note:
        raise RequestError(
            "--teacher: its head has neither these classes nor ImageNet's", hint="fine-tune it on these pictures first"
        )


def _rows(name: str, outputs: int, classes: Sequence[str]) -> Sequence[int]:
    """Return the teacher's output for each class."""
    synsets = imagenet_synsets(1000) or ()
    if outputs == len(classes):
        return range(outputs)
    if outputs == 1000 and all(name in synsets for name in classes):
        return [synsets.index(name) for name in classes]
    raise RequestError(f"--teacher {name} has {outputs} outputs, but there are {len(classes)} classes")


def _onnx(path: Path) -> tuple[Callable[[Tensor], Tensor], int]:
    if not path.is_file():
        raise RequestError(f"--teacher {path}: no such file")
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    name, outputs = session.get_inputs()[0].name, session.get_outputs()[0].shape[-1]
    if not isinstance(outputs, int):
        raise RequestError(f"--teacher {path}: its output has no fixed number of classes")

    def run(pixels: Tensor) -> Tensor:
        result = session.run(None, {name: pixels.cpu().numpy().astype(np.float32)})[0]
        return torch.from_numpy(result).to(pixels.device)

    return run, outputs


