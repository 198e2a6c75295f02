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
from export.core.files import hash_file
from export.data.labels.known import imagenet_synsets
from export.models.choice.request import ModelRequest
from export.training.devices import uses_bfloat16
from export.training.model.architecture import TEACHER, create_model
from export.training.model.first_weights import FirstWeights, find_first_weights, load_first_weights
from export.training.options import PictureTrainOptions

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """The teacher `model`: an ONNX file, or a model's name with its weights in `checkpoint` (None: the hub's).

    `image_size` is its input's. ONNX takes `float32 [n, 3, size, size]`, normalised as ImageNet's, and returns logits
    or their logarithms `[n, K]`.
    """

    model: str
    checkpoint: Path | None
    image_size: int

    @property
    def onnx(self) -> Path | None:
        """The ONNX file, if it is one."""
        return Path(self.model) if self.model.endswith(".onnx") else None


class Teacher:
    """Computes the teacher's log-probabilities for pictures in 0..1; `sha256` is that of its weights."""

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        image_size: int,
        normalisation: tuple[Sequence[float], Sequence[float]],
        rows: Sequence[int],
        device: torch.device,
        sha256: str,
    ) -> None:
        self.logits, self.size, self.sha256 = logits, image_size, sha256
        self.rows = torch.tensor(rows, device=device)
        self.mean, self.std = (torch.tensor(values, device=device)[:, None, None] for values in normalisation)

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
    if request.onnx is not None:
        logits, outputs = _onnx(request.onnx)
        rows, sha256 = _rows(request.model, outputs, classes), hash_file(request.onnx)
        return Teacher(logits, request.image_size, (IMAGENET_MEAN, IMAGENET_STD), rows, device, sha256)
    first = _weights(request)
    entry = ModelRequest(model=request.model).entry
    arguments = {name: value for name, value in entry.arguments.items() if name not in ("img_size", "num_classes")}
    options = PictureTrainOptions(
        model=entry.timm_name, arguments=arguments, image_size=request.image_size, drop_path=0.0
    )
    module = create_model(options, len(classes), TEACHER)
    if not load_first_weights(module, first, classes, lambda note: None, "--teacher-checkpoint"):
        raise RequestError(
            f"--teacher {request.model}: its head has neither these {len(classes)} classes nor ImageNet's",
            hint="fine-tune it on these pictures first, and pass the result as --teacher-checkpoint",
        )
    module = module.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    config = resolve_input_data_config(module)
    normalisation = first.normalisation or (config["mean"], config["std"])

    bfloat16 = uses_bfloat16(module, device)

    def run(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            result: Tensor = module(pixels.contiguous(memory_format=torch.channels_last))
        return result

    return Teacher(run, request.image_size, normalisation, range(len(classes)), device, first.sha256)


def _weights(request: TeacherRequest) -> FirstWeights:
    first = find_first_weights(ModelRequest(model=request.model, checkpoint=request.checkpoint), lambda note: None)
    if first.path is None:
        raise RequestError(
            f"--teacher {request.model}: timm has no weights for it", hint="pass --teacher-checkpoint FILE"
        )
    return first


def _rows(name: str, outputs: int, classes: Sequence[str]) -> Sequence[int]:
    """Return the teacher's output for each class."""
    synsets = imagenet_synsets(1000) or ()
    if outputs == len(classes):
        return range(outputs)
    if outputs == 1000 and all(name in synsets for name in classes):
        return [synsets.index(name) for name in classes]
    raise RequestError(
        f"--teacher {name} has {outputs} outputs, but there are {len(classes)} classes",
        hint="pass a teacher of the same classes, or name the folders by WordNet ids for one of ImageNet's",
    )


def _onnx(path: Path) -> tuple[Callable[[Tensor], Tensor], int]:
    if not path.is_file():
        raise RequestError(f"--teacher {path}: no such file", hint="check the path")
    import onnxruntime

    try:
        session: Any = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:  # the runtime's own kinds
        raise RequestError(
            f"--teacher {path} is no ONNX model that can be run: {str(error)[:200]}",
            hint="export it again, and run it with onnxruntime first",
        ) from error
    name, outputs = session.get_inputs()[0].name, session.get_outputs()[0].shape[-1]
    if not isinstance(outputs, int):
        raise RequestError(
            f"--teacher {path}: its output has no fixed number of classes",
            hint="export it again with a fixed number of classes",
        )

    def run(pixels: Tensor) -> Tensor:
        result = session.run(None, {name: pixels.cpu().numpy().astype(np.float32)})[0]
        return torch.from_numpy(result).to(pixels.device)

    return run, outputs
