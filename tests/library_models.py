"""Tiny models of Hugging Face transformers, saved as the library saves them, and what it gives for images."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

transformers = pytest.importorskip("transformers")

SIDE = 32
LABELS = ["fox", "hare", "owl", "elk", "bat"]
ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
VIT = ENCODER | {"intermediate_size": 48}
DINO = ENCODER | {"mlp_ratio": 2}
SWIN = {"image_size": SIDE, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
BASIC = {"layer_type": "basic", "hidden_sizes": [16, 24, 32, 40], "depths": [1, 2, 1, 1]}
BOTTLENECK = {"hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1]}


def make(kind: str, seed: int = 0, **config: Any) -> Any:
    """Return a model of a class, with weights so large that every part of it tells."""
    cls = getattr(transformers, kind)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: index for index, name in enumerate(LABELS)}}
    torch.manual_seed(seed)
    model = cls(cls.config_class(**labels | config)).eval()
    spread(model)
    return model


def spread(model: nn.Module) -> None:
    """Give all tensors of a model values far from those that they begin with."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            else:
                value.copy_(
                    noise * (0.5 / max(1, value[:1].numel()) ** 0.5 if value.ndim >= 2 else 0.2)
                    + (value.ndim < 2) * 0.3
                )


def save(model: Any, folder: Path, processor: dict[str, Any] | None = None, **options: Any) -> Path:
    """Save a model as its library does, beside the preprocessing of a ViT of the test's size."""
    model.save_pretrained(folder, **options)
    values = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}, "resample": 2}
    values |= {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.5, 0.6, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor or values))
    return folder


def change(folder: Path, file: str = "config.json", **fields: Any) -> Path:
    """Change fields of a JSON file; those that are None are taken out."""
    values = json.loads((folder / file).read_text()) | fields
    kept = {name: value for name, value in values.items() if value is not None}
    (folder / file).write_text(json.dumps(kept))
    return folder


def as_bin(folder: Path) -> Path:
    """Replace safetensors by what older versions wrote."""
    for path in sorted(folder.glob("*.safetensors")):
        name = path.name.replace("model", "pytorch_model", 1).replace(".safetensors", ".bin")
        torch.save(load_file(path), folder / name)
        path.unlink()
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        text = index.read_text().replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
        (folder / "pytorch_model.bin.index.json").write_text(text)
        index.unlink()
    return folder


def images(count: int = 3, side: int = SIDE, channels: int = 3) -> Tensor:
    """Return images as models take them, `[count, channels, side, side]`."""
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def outputs(model: Any, pixels: Tensor) -> Tensor:
    """Return the library's logits, or what a classifier would read: the class token after the norm, or the mean."""
    given = model(pixels)
    if hasattr(given, "logits"):
        result: Tensor = given.logits
    elif type(model).__name__ in ("SwinModel", "ResNetModel"):
        result = given.pooler_output.flatten(1)
    else:
        result = given.last_hidden_state[:, 0]
    return result
