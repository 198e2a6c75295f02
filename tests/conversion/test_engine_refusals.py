"""What our engine cannot compute: refused when its file is made, with the reason; another engine serves it."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_models import SIZE, make, quantized
from safetensors.torch import save_file
from sharing import share_bundle
from timm.layers.attention import Attention
from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock
from tiny import tiny
from torch import Tensor, nn

from export.conversion.engine.export import plan_of, to_engine
from export.core.errors import UnsupportedError
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import QuantizedModel
from export.quantization.layers.quantizers import Dynamic
from export.quantization.methods import METHODS, LayerRule
from export.quantization.recipes import Recipe, find_recipe, quantizing

pytestmark = pytest.mark.conversion
ROOT = Path(__file__).parents[2]
VIT, DISTILLED = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"


class Gated(Attention):  # type: ignore[misc]
    """Attention with a gate."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, gated=True)


class Turned(Attention):  # type: ignore[misc]
    """Attention that does something of its own."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(x.flip(1), *args, **kwargs).flip(1)  # type: ignore[no-any-return]


def ruled(pattern: str, weight_bits: int | None, activation_bits: int | None) -> Recipe:
    rule = LayerRule(pattern=pattern, weight_bits=weight_bits, activation_bits=activation_bits)
    return quantizing(METHODS["dynamic"], 8, 8, (rule,))


# timm's name, arguments, recipe, what is said
MODELS: list[tuple[str, dict[str, Any], str | Recipe, str]] = [
    (VIT, {}, "w8_rtn", r"blocks\.0\.attn\.qkv has float inputs"),
    (VIT, {}, "w4_gptq", r"blocks\.0\.attn\.qkv has float inputs"),
    (VIT, {"depth": 1}, "w8a8_affine", r"patch_embed\.proj has weights with zero points"),
    (VIT, {}, ruled("product_qk", None, None), r"blocks\.0\.attn's queries stays float|not quantized"),
    (VIT, {}, ruled("*.fc2", 8, None), r"blocks\.0\.mlp\.fc2 has float inputs"),
    (VIT, {}, ruled("head", None, None), r"head is a Linear whose weight is not quantized"),
    (VIT, {}, ruled("stem", None, None), r"patch_embed\.proj is a Conv2d whose weight is not quantized"),
    (DISTILLED, {}, ruled("head_dist", 8, None), "two classifiers differ"),
    (DISTILLED, {"fc_norm": True}, "w8_dynamic", "fc_norm comes before two classifiers"),
    (VIT, {"embed_dim": 36}, "w8_dynamic", "dim is 36, not a multiple of 8"),
    (VIT, {"num_heads": 4}, "w8_dynamic", "head_dim is 12, not a multiple of 8"),
    (VIT, {"mlp_ratio": 1.5, "embed_dim": 24}, "w8_dynamic", "hidden is 36, not a multiple of 8"),
    (VIT, {"attn_layer": Gated}, "w8_dynamic", "is a Gated, or has a gate"),
    (VIT, {"attn_layer": Turned}, "w8_dynamic", "is a Turned"),
    (VIT, {"global_pool": "map"}, "w8_dynamic", "the pooling 'map'"),
    (VIT, {"global_pool": "avgmax"}, "w8_dynamic", "the pooling 'avgmax'"),
    (VIT, {"global_pool": "", "num_classes": 0}, "w8_dynamic", "the pooling 'none'"),
    (VIT, {"scale_attn_norm": True}, "w8_dynamic", r"attn has a normalisation of its output"),
    (VIT, {"scale_mlp_norm": True}, "w8_dynamic", "has a normalisation within"),
    (VIT, {"act_layer": "relu"}, "w8_dynamic", "the activation ReLU, not GELU"),
    (VIT, {"act_layer": "quick_gelu"}, "w8_dynamic", "not GELU"),
    (VIT, {"norm_layer": "rmsnorm"}, "w8_dynamic", "RmsNorm, not LayerNorm"),
    (VIT, {"block_fn": ParallelScalingBlock}, "w8_dynamic", "is a ParallelScalingBlock"),
    (VIT, {"block_fn": ResPostBlock}, "w8_dynamic", "is a ResPostBlock"),
    (VIT, {"embed_norm_layer": partial(nn.LayerNorm, eps=1e-6)}, "w8_dynamic", "patch_embed has a normalisation"),
    ("vit_small_r26_s32_224", {"img_size": 64, "patch_size": 1}, "w8_dynamic", "patch_embed is a HybridEmbed"),
]


@pytest.mark.parametrize(("name", "arguments", "recipe", "words"), MODELS, ids=range(len(MODELS)))
def test_models_and_recipes_are_refused_with_the_reason(
    name: str, arguments: dict[str, Any], recipe: str | Recipe, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=f"the vit engine cannot run this model: .*({words})") as refused:
        quantized(name, {"depth": 1} | arguments, recipe, tmp_path)
    assert "another engine" in refused.value.hint
    assert not (tmp_path / "model.vit").exists()


@pytest.mark.parametrize(
    ("family", "recipe", "words"),
    [
        ("swin", "w8_dynamic", "is a SwinTransformer"),
        ("resnet", "w8_dynamic", "is a ResNet"),
        ("distilled", "w8_dynamic", "dim is 36"),
        ("vit", "w8a8_ptq4vit", r"probabilities is quantized in two ranges \(Twin\)"),
    ],
)
def test_families_are_refused_with_the_reason(family: str, recipe: str, words: str, tmp_path: Path) -> None:
    spec, module, images = tiny(family)
    chosen = find_recipe(recipe)
    with pytest.raises(UnsupportedError, match=words):
        to_engine(QuantizedModel(spec, chosen, calibrate(module, chosen, images)), tmp_path / "model.vit")
    assert not list(tmp_path.iterdir())


def with_ranged_queries(module: Any) -> None:
    module.blocks[0].attn.product_qk.left.spread = "range"


def with_ranged_image(module: Any) -> None:
    module.patch_embed.proj.input = Dynamic(8, dim=None, spread="range")


def with_one_scale_for_all_tokens(module: Any) -> None:
    module.blocks[0].mlp.fc1.input = Dynamic(8, dim=-2)


def with_another_epsilon(module: Any) -> None:
    module.blocks[0].norm2.eps = 1e-3


def with_overlapping_patches(module: Any) -> None:
    module.patch_embed.proj.geometry["stride"] = (4, 4)


def without_one_size(module: Any) -> None:
    module.patch_embed.dynamic_img_pad = True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_ranged_queries, "queries has a range"),
        (with_ranged_image, "patch_embed.proj's input has a range"),
        (with_one_scale_for_all_tokens, "one scale along dimension -2, not -1"),
        (with_another_epsilon, "several epsilons"),
        (with_overlapping_patches, "does not cut the image into patches"),
        (without_one_size, "three channels and one size"),
    ],
)
def test_parts_that_no_recipe_makes_are_refused_too(change: Callable[[Any], None], words: str) -> None:
    module = make(VIT, {"depth": 1})
    made = calibrate(module, find_recipe("w8_dynamic"), torch.randn(2, 3, SIZE, SIZE))
    plan_of(made)
    change(made)
    with pytest.raises(UnsupportedError, match=words):
        plan_of(made)


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Build the page of a model of one block."""
    save_file(make(VIT, {"depth": 1, "embed_dim": 192}).state_dict(), folder / "own.safetensors")
    model = ["--model", f"timm/{VIT}", "--checkpoint", folder / "own.safetensors", "--artifacts", folder / "artifacts"]
    places = ["--measurements", folder / "none.json", "--out", folder / "_site"]
    command = [sys.executable, "-m", "export.build", *arguments, *map(str, (*model, *places))]
    share_bundle()
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_a_build_for_the_engine_alone_fails_with_the_reason(tmp_path: Path) -> None:
    done = build(tmp_path, "--recipe", "w8a8_affine", "--engine", "vit")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(
        r"the vit engine cannot run this model: patch_embed\.proj has weights with zero points", done.stderr
    )
    assert "choose another engine" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "_site").exists()
    done = build(tmp_path, "--recipe", "w8_rtn", "--engine", "vit")
    assert done.returncode == 2 and "--engine vit cannot run the recipe w8_rtn" in done.stderr


def test_a_build_for_the_fastest_engine_takes_another_and_says_so(tmp_path: Path) -> None:
    done = build(tmp_path, "--recipe", "w8a8_affine", "--engine", "auto")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"note: the vit engine cannot run .* zero points; w8a8_affine is built as tfjs", done.stdout)
    assert "w8a8_affine-tfjs" in (tmp_path / "_site/index.html").read_text()
