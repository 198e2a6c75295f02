"""Shaped models give the outputs of timm's, for every kind of VisionTransformer, and what is none is refused."""

from typing import Any

import pytest
import timm
import torch
from shaped_models import KINDS, SMALL, VIT, model
from tiny import tiny
from torch import nn

from export.conversion.reshape.layers import SIGMOID, Linear, PerHeadAttention, SigmoidGelu
from export.conversion.reshape.model import REWRITES, rewrite_for_runtime
from export.core.errors import ConversionError
from export.quantization.calibration.assemble import dequantized
from export.quantization.calibration.calibrate import calibrate
from export.quantization.recipes import find_recipe


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", REWRITES)
def test_with_the_exact_gelu_outputs_are_timm_s(kind: str, target: str) -> None:
    module, pixels = model(kind)
    wanted = module(pixels)
    found = rewrite_for_runtime(module, target, exact_gelu=True)(pixels)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=4e-6)
    assert (wanted.max() - wanted.min()) > 0.1, "else that would be no test"


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_cheap_gelu_they_are_within_a_thousandth_of_the_range(kind: str) -> None:
    module, pixels = model(kind)
    wanted = module(pixels)
    for target in ("tfjs", "tfjs_packed"):
        assert (rewrite_for_runtime(module, target)(pixels) - wanted).abs().max() < 1e-3 * (wanted.max() - wanted.min())


def test_in_float64_they_are_equal_but_for_its_rounding() -> None:
    module, pixels = model("normalised queries and keys")
    wide = timm.create_model(VIT, **{**SMALL, **KINDS["normalised queries and keys"][1]}).double().eval()
    wide.load_state_dict(module.state_dict())
    found = rewrite_for_runtime(wide, "tfjs", exact_gelu=True)(pixels.double())
    torch.testing.assert_close(found, wide(pixels.double()), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(("kind", "largest"), [("gelu", 2.8e-4), ("gelu_tanh", 1e-6), ("quick_gelu", 1e-6)])
def test_gelu_by_a_sigmoid(kind: str, largest: float) -> None:
    x = torch.linspace(-200, 200, 400_001)
    exact = {
        "gelu": nn.functional.gelu(x),
        "gelu_tanh": nn.functional.gelu(x, approximate="tanh"),
        "quick_gelu": timm.layers.quick_gelu(x),
    }
    assert set(exact) == set(SIGMOID)
    assert (SigmoidGelu(kind).float()(x) - exact[kind]).abs().max() < largest


@pytest.mark.parametrize("target", ["tfjs_packed", "tfjs_gpu_packed", "tflite_packed"])
def test_weights_for_integers_stay_bit_for_bit_what_they_are(target: str) -> None:
    _, module, images = tiny("vit")
    plain = dequantized(calibrate(module, find_recipe("w4_rtn"), images))
    shaped = rewrite_for_runtime(plain, target)
    kept = {layer.weight.t().contiguous().numpy().tobytes() for layer in shaped.modules() if isinstance(layer, Linear)}
    for name, layer in plain.named_modules():
        if isinstance(layer, nn.Linear):
            apart = target == "tfjs_packed" and name.endswith("qkv")
            for part in layer.weight.chunk(9 if apart else 1):
                assert part.numpy().tobytes() in kept, name
    torch.testing.assert_close(
        rewrite_for_runtime(plain, target, exact_gelu=True)(images[:1]), plain(images[:1]), rtol=0.0, atol=4e-6
    )


def test_only_pooled_tokens_go_through_the_last_block() -> None:
    module, pixels = model("class token")
    shaped = rewrite_for_runtime(module, "tfjs")
    seen: list[int] = []
    for block in shaped.blocks:  # type: ignore[union-attr]
        block.register_forward_hook(lambda _layer, _inputs, output: seen.append(len(output)))
    shaped(pixels)
    assert seen == [17, 1]
    assert sum(isinstance(layer, PerHeadAttention) for layer in shaped.modules()) == 2


@pytest.mark.parametrize("family", ["swin", "resnet"])
def test_another_architecture_is_refused(family: str) -> None:
    with pytest.raises(ConversionError, match=r"the model is a \w+, not timm's VisionTransformer"):
        rewrite_for_runtime(tiny(family)[1], "tfjs")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"global_pool": "map"}, "the pooling 'map'"),
        ({"global_pool": "max"}, "the pooling 'max'"),
        ({"norm_layer": "rmsnorm"}, r"blocks\.0\.norm1 is a RmsNorm"),
        ({"act_layer": "silu"}, r"blocks\.0\.mlp has the activation SiLU"),
        ({"scale_attn_norm": True}, r"blocks\.0\.attn has a normalisation"),
        ({"scale_mlp_norm": True}, r"blocks\.0\.mlp .* normalisation within"),
        ({"embed_norm_layer": "layernorm"}, "patch_embed .* normalisation of its own"),
        ({"dynamic_img_pad": True}, "patch_embed does not just cut"),
        ({"block_fn": timm.models.vision_transformer.ResPostBlock}, "ResPostBlock, not timm's Block"),
    ],
)
def test_unusual_parts_are_refused_with_the_reason(arguments: dict[str, Any], reason: str) -> None:
    module = timm.create_model(VIT, **{**SMALL, **arguments}).eval()
    with pytest.raises(ConversionError, match=reason):
        rewrite_for_runtime(module, "tfjs")
