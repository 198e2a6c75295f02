"""Random weights that hide no converter's mistakes."""

from typing import Any

import pytest
import timm
import torch

from export.core.errors import RequestError
from export.models.weights.randomise import add_outliers, randomise


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("deit_tiny_patch16_224", {"depth": 12, "img_size": 64}, 64),
        ("swin_tiny_patch4_window7_224", {"embed_dim": 24, "img_size": 56, "num_heads": (2, 2, 4, 4)}, 56),
        ("resnet18", {}, 64),
    ],
)
def test_every_value_is_random_and_the_outputs_stay_of_order_one(
    name: str, arguments: dict[str, Any], size: int
) -> None:
    module = randomise(timm.create_model(name, pretrained=False, **arguments).eval())
    for key, values in module.state_dict().items():
        if values.is_floating_point() and values.numel() > 1 and "attn_mask" not in key:
            assert values.std() > 0.01, f"{key} is constant"
    with torch.no_grad():
        outputs = module(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(outputs).all()
    assert 0.05 < outputs.std() < 20


def test_a_seed_decides_every_value() -> None:
    first, again, other = (
        randomise(timm.create_model("vit_tiny_patch16_224", depth=1), seed).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(not torch.equal(first[key], other[key]) for key in first)


def test_outliers_change_activations_and_of_the_outputs_only_what_the_class_token_gives() -> None:
    arguments = {"depth": 2, "img_size": 32, "embed_dim": 48, "num_heads": 3}
    plain, rich = (randomise(timm.create_model("vit_tiny_patch16_224", **arguments).eval()) for _ in range(2))
    add_outliers(rich)
    found = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    behind = rich.blocks[0].norm1(rich._pos_embed(rich.patch_embed(found)))
    assert (behind.abs().amax((0, 1)) > 100).sum() == 2, "one channel of 24"
    with torch.no_grad():
        rich.cls_token.copy_(plain.cls_token)
        assert torch.allclose(rich(found), plain(found), atol=1e-3)
    with pytest.raises(RequestError, match="no blocks of a ViT"):
        add_outliers(timm.create_model("resnet18", pretrained=False))
