"""Training of the upper blocks alone: what the lower ones compute of each picture is kept on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from export.core.console import LongProgress
from export.core.errors import ExportError, RequestError
from export.core.files import hash_bytes, hash_json
from export.data.pictures.arrays import PictureArray
from export.data.pictures.resumable import filling

BATCH = 64
EMBEDDINGS = ("patch_embed.", "pos_embed", "cls_token", "reg_token", "dist_token", "norm_pre.")


class UpperBlocks(nn.Module):
    """The part of a Vision Transformer above its first `count` blocks: from their tokens `[n, T, D]` to logits."""

    def __init__(self, model: nn.Module, count: int) -> None:
        super().__init__()
        self.model: Any = model
        self.count = count

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits `[n, K]`."""
        for block in self.model.blocks[self.count :]:
            tokens = block(tokens)
        logits: Tensor = self.model.forward_head(self.model.norm(tokens))
        return logits


def freeze_lower(module: nn.Module, count: int) -> None:
    """Freeze the embeddings and the first blocks; raises `RequestError` for a model without blocks, or with fewer."""
    blocks: Any = getattr(module, "blocks", None)
    if not isinstance(module, VisionTransformer) or blocks is None:
        raise RequestError(
            f"--frozen-blocks {count}: {type(module).__name__} is no Vision Transformer of equal blocks",
            hint="leave it out, or train a ViT such as deit_t",
        )
    if count > len(blocks):
        raise RequestError(f"--frozen-blocks {count}: the model has {len(blocks)} blocks", hint="freeze fewer")
    lower = (*EMBEDDINGS, *(f"blocks.{index}." for index in range(count)))
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith(lower))


@torch.no_grad()
def lower_tokens(module: nn.Module, pixels: Tensor, count: int) -> Tensor:
    """Return what the first blocks make of normalised pictures `[n, 3, H, W]`: tokens `[n, T, D]`."""
    model: Any = module.eval()
    tokens: Tensor = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(pixels))))
    for block in model.blocks[:count]:
        tokens = block(tokens)
    return tokens


class Activations:
    """The tokens of pictures on disk: `stored` `float16 [n, views, T, D]`, the second view of the mirror image."""

    def __init__(self, stored: NDArray[np.float16], pictures: PictureArray) -> None:
        self.stored, self.targets, self.digest = stored, pictures.targets, pictures.digest

    def __len__(self) -> int:
        return len(self.targets)


class LowerBlocks:
    """The frozen part of a `module`: its first `count` blocks, which compute the activations of pictures once.

    They are kept in the folder `cache`, by the pictures' content and the weights.
    """

    def __init__(self, module: nn.Module, count: int, normalise: Any, device: torch.device, cache: Path) -> None:
        self.module, self.count, self.normalise, self.device, self.cache = module, count, normalise, device, cache
        weights = [value for name, value in module.named_parameters() if not value.requires_grad]
        self.digest = hash_bytes(b"".join(value.detach().cpu().numpy().tobytes() for value in weights))

    def activations(self, pictures: PictureArray, *, mirrored: bool, title: str) -> Activations:
        """Return the activations for pictures of the model's size, and with `mirrored` those of their mirror images."""
        views = 2 if mirrored else 1
        key = hash_json([pictures.digest, pictures.rows.tolist(), self.digest, self.count, views, repr(self.normalise)])
        path = self.cache / f"{key[:16]}-tokens.npy"
        if not path.is_file():
            shape = tuple(self._compute(pictures, slice(0, 1), mirrored).shape)
            with filling(path, (len(pictures), *shape[1:]), np.float16) as array:
                self._fill(array, pictures, mirrored, title)
        return Activations(np.load(path, mmap_mode="r"), pictures)

    def _fill(self, array: Any, pictures: PictureArray, mirrored: bool, title: str) -> None:
        with LongProgress(f"activations of {title}", len(pictures), "picture", array.done) as progress:
            for start in range(array.done, len(pictures), BATCH):
                tokens = self._compute(pictures, slice(start, start + BATCH), mirrored)
                array.rows[start : start + len(tokens)] = tokens
                array.advance(len(tokens))
                progress.step(len(tokens))

    def _compute(self, pictures: PictureArray, chosen: slice, mirrored: bool) -> NDArray[np.float16]:
        pixels = self.normalise(torch.from_numpy(pictures.take(chosen)).to(self.device))
        views = [lower_tokens(self.module, pixels, self.count)]
        if mirrored:
            views.append(lower_tokens(self.module, pixels.flip(3), self.count))
        tokens = torch.stack(views, 1).half()
        if not tokens.isfinite().all():
            raise ExportError(
                f"--frozen-blocks {self.count}: activations exceed the range of float16", hint="freeze other blocks"
            )
        return tokens.cpu().numpy()
