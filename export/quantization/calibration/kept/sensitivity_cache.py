"""Sensitivities that the recipes of a model share, kept in files while it is built, by the content that decides them.

Recipes of other bits see the same images in the same float model: a forward and a backward pass of all of them, which
the first recipe makes for all.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from export.core.files import write_atomically
from export.core.source_code import code_key

KEPT_BYTES = 1 << 28  # in all; the oldest files go first


@dataclass(frozen=True)
class SensitivityCache:
    """The files in `folder`, which is made when the first one is written; whoever gives the folder removes it."""

    folder: Path

    def obtain(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return by layer what was kept for `key`, else compute and keep it."""
        path = self.folder / f"{key}.safetensors"
        if path.exists():
            kept: dict[str, Tensor] = load_file(path)
            return kept
        found = compute()
        data = save({name: value.contiguous().cpu() for name, value in found.items()})
        if len(data) <= KEPT_BYTES:
            self._make_room(len(data))
            write_atomically(path, data)
        return found

    def _make_room(self, size: int) -> None:
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        while files and sum(path.stat().st_size for path in files) + size > KEPT_BYTES:
            files.pop(0).unlink()


def sensitivity_key(module: nn.Module, images: Tensor, gradient: str, seed: int, layers: list[str]) -> str:
    """Return the hash of what decides the sensitivities of `layers`: weights, images, the loss, and the code."""
    digest = hashlib.sha256(images.detach().cpu().numpy().tobytes())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().contiguous().cpu().numpy().tobytes())
    code = code_key("export.quantization.calibration.observers")
    digest.update(json.dumps([gradient, seed, layers, str(images.device), code]).encode())
    return digest.hexdigest()
