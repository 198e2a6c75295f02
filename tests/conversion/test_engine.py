"""The vit engine over the whole family: bit for bit what its definition in NumPy says, in every build."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_models import quantized, run_modes, run_of
from msgspec.structs import replace
from tiny import sqnr

from export.conversion.engine.reference import EngineReference
from export.core.errors import ConversionError
from export.quantization.layers.modules import integer_arithmetic
from export.quantization.methods import METHODS, LayerRule
from export.quantization.recipes import Recipe, quantizing

pytestmark = pytest.mark.conversion

VIT, DISTILLED = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"
DINO, CLIP, GAP = "vit_small_patch14_reg4_dinov2", "vit_base_patch32_clip_224", "vit_medium_patch16_reg4_gap_256"
# The dot products of other machines are emulated; None is what this machine would choose.
MODES = [("plain", 1), ("signed", 1), ("unsigned", 1), (None, 1), ("plain", 2), ("plain", 3)]
# Least SQNR in dB, of the fewest bits to the float model, and of the activations' bits to the integer executor, whose
# floats differ in their last bits, so that a value falls on the next level here and there.
LEAST_DB = {3: 0, 4: 7, 5: 12, 6: 18, 7: 22, 8: 23}


def searched(weight_bits: int, activation_bits: int) -> Recipe:
    """Return the method that searches symmetric scales, with few candidates."""
    method = METHODS["basic"]
    return quantizing(method, weight_bits, activation_bits, calibration=replace(method.calibration, candidates=8))


def ruled(method: str, bits: int, rules: dict[str, int | None]) -> Recipe:
    """Return a method at 8-bit activations but for layers of names or roles; None leaves theirs in float."""
    found = tuple(LayerRule(pattern=pattern, weight_bits=bits, activation_bits=of) for pattern, of in rules.items())
    return quantizing(METHODS[method], bits, 8, found)


# What it is: timm's name, arguments, recipe.
CASES: dict[str, tuple[str, dict[str, Any], str | Recipe]] = {
    # Tokens and what comes before them.
    "class token": (VIT, {}, "w8_dynamic"),
    "one patch": (VIT, {"img_size": 7}, searched(8, 8)),
    "distilled": (DISTILLED, {"img_size": 32, "patch_size": 16}, "w4a8_gptq"),
    "registers and layer scale, features": (DINO, {"patch_size": 14, "num_classes": 0}, "w3a8_gptq"),
    "registers, positions of patches alone, mean": (GAP, {}, "w5a8_minmax"),
    "normalised before the blocks": (CLIP, {}, "w6a8_minmax"),
    "no positions": (VIT, {"pos_embed": "none"}, "w8a8_percentile"),
    "positions of patches alone": (VIT, {"no_embed_class": True}, "w7_dynamic"),
    # The end.
    "mean without class token": (VIT, {"class_token": False, "global_pool": "avg"}, "w8a8_repq"),
    "mean of patches": (VIT, {"global_pool": "avg"}, "w8_dynamic"),
    "mean of all, normalised before": (
        VIT,
        {"global_pool": "avg", "pool_include_prefix": True, "fc_norm": False},
        "w8a8_minmax",
    ),
    "mean of all, features": (
        VIT,
        {"global_pool": "avg", "pool_include_prefix": True, "num_classes": 0, "depth": 1},
        "w8_dynamic",
    ),
    "pooled token normalised": (VIT, {"fc_norm": True, "num_classes": 13}, "w8a8_smoothquant"),
    "never normalised": (VIT, {"final_norm": False, "num_classes": 1}, "w8_dynamic"),
    "distilled, features": (DISTILLED, {"num_classes": 0, "depth": 1}, "w8a8_aqer"),
    "class token and mean": ("vit_class_and_mean", {"reg_tokens": 3, "no_embed_class": True}, "w8a8_gptq"),
    "class token and mean, in float": ("vit_class_and_mean", {}, ruled("dynamic", 8, {"head*": None})),
    # Blocks.
    "queries and keys normalised": (VIT, {"qk_norm": True}, searched(8, 8)),
    "queries and keys normalised, own ranges": (VIT, {"qk_norm": True, "init_values": 0.1}, "w8_dynamic"),
    "GELU with tanh": (VIT, {"act_layer": "gelu_tanh"}, "w4a8_minmax"),
    "no biases": (VIT, {"qkv_bias": False, "proj_bias": False}, "w8_dynamic"),
    "deep": (VIT, {"depth": 7, "embed_dim": 24}, "w8_dynamic"),
    # Patches and sizes.
    "not square": (VIT, {"img_size": (24, 40), "patch_size": (4, 8)}, "w8_dynamic"),
    "margins that no patch covers": (VIT, {"img_size": (31, 26)}, "w8_dynamic"),
    "patches of one pixel": (VIT, {"img_size": 5, "patch_size": 1}, "w8a8_minmax"),
    "patches of 16": (VIT, {"img_size": 48, "patch_size": 16, "embed_dim": 40, "num_heads": 5}, "w8_dynamic"),
    "more rows than fit a cache": (
        VIT,
        {"img_size": 44, "patch_size": 4, "embed_dim": 16, "num_heads": 1, "mlp_ratio": 64.5, "depth": 1},
        "w8_dynamic",
    ),
    # Widths.
    "heads of 24": (VIT, {"num_heads": 2}, searched(8, 8)),
    "heads of 32": (VIT, {"embed_dim": 32, "num_heads": 1, "mlp_ratio": 2.25}, "w8_dynamic"),
    "heads of 64": (VIT, {"embed_dim": 128, "num_heads": 2, "mlp_ratio": 1}, "w8_dynamic"),
    "many heads": (VIT, {"embed_dim": 88, "num_heads": 11}, "w8a8_minmax"),
    # Numbers.
    "3 bits by their range": (VIT, {}, "w3a3_minmax"),
    "4 bits by GPTQ, also activations": (VIT, {}, "w4a4_gptq"),
    "4 bits in another basis, layer scale": (VIT, {"init_values": 0.1, "qkv_bias": False}, "w4a4_quarot"),
    "activations of 6 bits": (VIT, {}, "w8a6_minmax"),
    "activations of 7 bits, symmetric": (VIT, {}, searched(6, 7)),
    "corrected biases": (VIT, {}, "w5a5_bias"),
    # Which operands: by default the patches' floats, and all else in integers.
    "classes in float": (VIT, {}, ruled("dynamic", 8, {"head": None})),
    "both classifiers in float": (DISTILLED, {}, ruled("dynamic", 8, {"head*": None})),
    "patches by the image's range": (VIT, {}, ruled("dynamic", 8, {"patch_embed*": 8})),
    "patches by a known range": (DISTILLED, {"img_size": 32, "patch_size": 8}, ruled("minmax", 8, {"stem": 8})),
    "patches in 6 bits": (CLIP, {"img_size": (21, 35)}, ruled("gptq", 6, {"stem": 6, "head": None})),
    "patches by symmetric levels": (VIT, {"patch_size": 14}, ruled("repq", 8, {"stem": 8, "qkv": 6})),
}


@pytest.mark.parametrize("case", CASES)
def test_every_build_computes_what_the_definition_says(case: str, tmp_path: Path) -> None:
    name, arguments, recipe = CASES[case]
    made = quantized(name, arguments, recipe, tmp_path)
    modes = MODES + [("unsigned-pairs", 1)] * (run_of(made.file) > 0)
    outputs = run_modes(made.file, made.images, modes, tmp_path)
    for mode, found in zip(modes, outputs, strict=True):
        assert np.array_equal(found, outputs[0]), f"{mode} gives other bits than {modes[0]}"
    assert np.array_equal(EngineReference(made.file).run(made.images.numpy()), outputs[0])
    engine, how = torch.from_numpy(outputs[0]), made.recipe.quantization
    assert how is not None and how.activation_bits is not None
    with torch.no_grad(), integer_arithmetic(made.module):
        assert sqnr(made.float_module(made.images), engine) > LEAST_DB[min(how.weight_bits, how.activation_bits)]
        assert sqnr(made.module(made.images), engine) > LEAST_DB[how.activation_bits]


def test_weights_leave_the_room_that_their_recipe_promises(tmp_path: Path) -> None:
    """Of few bits they always do; of 8 by GPTQ, whose scales see to it, and whose keys and values have 7."""
    promised = {
        "w3a7_minmax": 8,
        "w4a4_minmax": 8,
        "w5a7_minmax": 4,
        "w6a7_minmax": 2,
        "w7a7_minmax": 1,
        "w8a8_gptq": 4,
    }
    for recipe, run in promised.items():
        assert run_of(quantized(VIT, {"depth": 1}, recipe, tmp_path).file) >= run, recipe
    for recipe in ("w8_dynamic", "w4a8_minmax"):  # the weights' bits are too many, or those of keys and values
        assert run_of(quantized(VIT, {"depth": 1}, recipe, tmp_path).file) == 0, recipe


def test_what_has_no_room_is_refused_by_the_build_that_needs_it(tmp_path: Path) -> None:
    for recipe in ("w8a7_minmax", "w4a8_minmax"):
        made = quantized(VIT, {"depth": 1}, recipe, tmp_path)
        with pytest.raises(ConversionError, match="the weights do not allow this build's 16-bit sums"):
            run_modes(made.file, made.images, [("unsigned-pairs", 1)], tmp_path)


@pytest.mark.parametrize("recipe", ["w8_dynamic", "w8a8_gptq"])
def test_deit_t_at_full_size_loses_little_at_8_bits(recipe: str, tmp_path: Path) -> None:
    arguments = {"img_size": 224, "patch_size": 16, "embed_dim": 192, "depth": 12, "num_classes": 1000}
    made = quantized("deit_tiny_patch16_224", arguments, recipe, tmp_path)
    modes: list[tuple[str | None, int]] = [("plain", 2), ("signed", 1), ("unsigned", 1)]
    modes += [("unsigned-pairs", 1)] * (run_of(made.file) > 0)
    outputs = run_modes(made.file, made.images, modes, tmp_path)
    assert all(np.array_equal(found, outputs[0]) for found in outputs)
    assert np.array_equal(EngineReference(made.file).run(made.images[:1].numpy()), outputs[0][:1])
    with torch.no_grad():
        assert sqnr(made.float_module(made.images), torch.from_numpy(outputs[0])) > 30
