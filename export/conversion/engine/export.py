"""Quantized model → the file of our own engine: the recipe's integers, and a plan of what there is, in order.

The file is a safetensors file. Its tensors are the integer artifact's, in the order in which the engine takes them,
with what needs no arithmetic at run time done beforehand: position embeddings are added to the class token, LayerScale
and attention's 1/√d are multiplied into the scales of output channels, and the rows of the patch embedding follow the
image's. The integers stay as they are. LayerNorm keeps gamma and beta, keys and values their biases: to fold them after
rounding would change the numbers that the recipe chose. Metadata: `format`, `schema_version`, `plan` (sizes, the
tensors' names with the bits of packed ones, and the run of steps that all weights leave room for, 0 where attention has
none), `model`, `recipe`, `sha256` of the tensor bytes.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers import GELUTanh, LayerScale, Mlp, PatchEmbed
from timm.layers.attention import Attention
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from export.conversion.engine.contract import FILE_FIELDS, FLAGS, FLOATS, FORMAT, POOLS, VERSION, WIDTH_MULTIPLE
from export.conversion.engine.run import run_engine
from export.conversion.engine.tensors import Tensors, add_linear, add_norm, add_products, kind_of, refuse
from export.core.errors import VerificationError
from export.core.figures.fidelity import Comparison, compare
from export.models.architecture import ClassAndMean
from export.models.weights.float_artifact import run_model
from export.quantization.integer_file import FILE as INTEGER_FILE
from export.quantization.integer_file import QuantizedModel, load_quantized, write_safetensors
from export.quantization.layers.modules import QuantConv2d

FILE = "model.vit"
SECOND: dict[type[nn.Module], str] = {VisionTransformerDistilled: "head_dist", ClassAndMean: "head_mean"}


def convert_engine(
    parent: Path, golden_inputs: NDArray[np.float32], target: Path, *, name: str, log: Path
) -> Comparison:
    """Write the engine's file of the integer artifact in `parent`, run it in the engine, and compare.

    `golden_inputs` is [n, 3, H, W]. Raises `UnsupportedError`, and `VerificationError` when the engine does not agree
    on the first image, to the last bit, with what is stated of it in NumPy.
    """
    from export.conversion.engine.reference import EngineReference

    model = load_quantized(parent / INTEGER_FILE)
    to_engine(model, target)
    outputs = run_engine(target, golden_inputs, log)
    found = compare(
        run_model(model.module, golden_inputs), outputs, edge="vit", parent="safetensors", subject=f"{name}: vit engine"
    )
    if not np.array_equal(EngineReference(target).run(golden_inputs[:1]), outputs[:1]):
        raise VerificationError(f"{name}: the vit engine's outputs differ from those of its NumPy definition")
    return found


def to_engine(model: QuantizedModel, path: Path) -> None:
    """Write the engine's file, whole or not at all; raises `UnsupportedError` for what it cannot run."""
    sizes, tensors = plan_of(model.module)
    plan = {
        "sizes": sizes,
        "tensors": [[name, bits] for name, bits in tensors.bits.items()],
        "run": min(tensors.accumulation_depths),
    }
    metadata = {
        "format": FORMAT,
        "schema_version": str(VERSION),
        "plan": json.dumps(plan, separators=(",", ":")),
        "model": json.dumps(model.spec.to_json(), separators=(",", ":"), ensure_ascii=False),
        "recipe": json.dumps(model.recipe.to_json(), separators=(",", ":"), ensure_ascii=False),
    }
    write_safetensors(path, tensors.values, metadata)


def plan_of(module: nn.Module) -> tuple[dict[str, Any], Tensors]:
    """Return the sizes and the tensors of a quantized module; raises `UnsupportedError`."""
    if type(module) not in (VisionTransformer, *SECOND):
        raise refuse("the model", f"is a {type(module).__name__}, not timm's VisionTransformer")
    assert isinstance(module, VisionTransformer)
    tensors = Tensors()
    flags = _add_embedding(tensors, module)
    for index, block in enumerate(module.blocks):
        flags |= _add_block(tensors, f"blocks.{index}", block)
    flags |= _add_end(tensors, module)
    return _sizes(module, flags, tensors), tensors


def _add_embedding(tensors: Tensors, module: VisionTransformer) -> int:
    embed = module.patch_embed
    if type(embed) is not PatchEmbed:
        raise refuse("patch_embed", f"is a {type(embed).__name__}, not timm's PatchEmbed")
    if not isinstance(embed.norm, nn.Identity):
        raise refuse("patch_embed", "has a normalisation of its own")
    conv = embed.proj
    if not isinstance(conv, QuantConv2d):
        raise refuse("patch_embed.proj", f"is a {type(conv).__name__} whose weight is not quantized")
    patch = tuple(conv.weight.quantized.shape[2:])
    if conv.geometry != {"stride": patch, "padding": (0, 0), "dilation": (1, 1), "groups": 1}:
        raise refuse("patch_embed.proj", "does not cut the image into patches")
    if conv.weight.quantized.shape[1] != 3 or embed.img_size is None or getattr(embed, "dynamic_img_pad", False):
        raise refuse("patch_embed", "does not take images of three channels and one size")
    prefix, positions = _tokens(module)
    if len(prefix):
        tensors.add("prefix", prefix)
    tensors.add("positions", positions)
    add_linear(tensors, "patch_embed.proj", conv, may_be_float=True)
    if isinstance(module.norm_pre, nn.Identity):
        return 0
    add_norm(tensors, "norm_pre", module.norm_pre)
    return FLAGS["norm_pre"]


def _tokens(module: VisionTransformer) -> tuple[Tensor, Tensor]:
    """Return the tokens before those of patches with their positions, and the patches' positions."""
    names = ("cls_token", "dist_token", "reg_token")
    tokens = [token for name in names if (token := getattr(module, name, None)) is not None]
    prefix = torch.cat([token[0].detach() for token in tokens]) if tokens else torch.zeros(0, module.embed_dim)
    if module.pos_embed is None:
        return prefix, torch.zeros(module.patch_embed.num_patches, module.embed_dim)
    positions = module.pos_embed.detach()[0]
    if module.no_embed_class:
        return prefix, positions
    return prefix + positions[: len(prefix)], positions[len(prefix) :]


def _add_block(tensors: Tensors, name: str, block: Any) -> int:
    if type(block) is not Block:
        raise refuse(name, f"is a {kind_of(block)}, not timm's Block")
    add_norm(tensors, f"{name}.norm1", block.norm1)
    flags = _add_attention(tensors, f"{name}.attn", block.attn, _layer_scale(f"{name}.ls1", block.ls1))
    add_norm(tensors, f"{name}.norm2", block.norm2)
    mlp = block.mlp
    if type(mlp) is not Mlp or not isinstance(mlp.norm, nn.Identity):
        raise refuse(f"{name}.mlp", f"is a {type(mlp).__name__}, or has a normalisation within")
    if not isinstance(mlp.act, nn.GELU | GELUTanh):
        raise refuse(f"{name}.mlp", f"has the activation {type(mlp.act).__name__}, not GELU")
    add_linear(tensors, f"{name}.mlp.fc1", mlp.fc1)
    add_linear(tensors, f"{name}.mlp.fc2", mlp.fc2, factor=_layer_scale(f"{name}.ls2", block.ls2))
    tanh = isinstance(mlp.act, GELUTanh) or mlp.act.approximate == "tanh"
    return flags | (FLAGS["gelu_tanh"] if tanh else 0)


def _layer_scale(name: str, layer: Any) -> Tensor | None:
    if isinstance(layer, nn.Identity):
        return None
    if not isinstance(layer, LayerScale):
        raise refuse(name, f"is a {type(layer).__name__}")
    gamma: Tensor = layer.gamma.detach()
    return gamma


def _add_attention(tensors: Tensors, name: str, attention: Any, factor: Tensor | None) -> int:
    if Attention not in type(attention).__bases__ or attention.gate is not None:  # nor one made of it
        raise refuse(name, f"is a {kind_of(attention)}, or has a gate")
    if not isinstance(attention.norm, nn.Identity):
        raise refuse(name, "has a normalisation of its output")
    norms = not isinstance(attention.q_norm, nn.Identity)
    scales = torch.ones(3 * attention.attn_dim)
    if not norms:
        scales[: attention.attn_dim] = attention.scale
    add_linear(tensors, f"{name}.qkv", attention.qkv, factor=scales)
    if norms:
        add_norm(tensors, f"{name}.q_norm", attention.q_norm, factor=attention.scale)
        add_norm(tensors, f"{name}.k_norm", attention.k_norm)
    add_products(tensors, name, attention.product_qk, attention.product_av, attention.num_heads)
    add_linear(tensors, f"{name}.proj", attention.proj, factor=factor)
    return FLAGS["qk_norm"] if norms else 0


def _add_end(tensors: Tensors, module: VisionTransformer) -> int:
    if module.attn_pool is not None or module.global_pool not in POOLS:
        raise refuse("the pooling", f"{module.global_pool or 'none'!r} is not the class token or the mean")
    flags = 0
    for name, norm in (("norm", module.norm), ("fc_norm", module.fc_norm)):
        if not isinstance(norm, nn.Identity):
            add_norm(tensors, name, norm)
            flags |= FLAGS[name]
    if type(module) in SECOND and flags & FLAGS["fc_norm"]:
        raise refuse("fc_norm", "comes before two classifiers")
    if isinstance(module, ClassAndMean) and not module.num_classes:
        raise refuse("the output", "is the class token beside the mean of the patches' tokens, without classifiers")
    for name in _classifiers(module):
        add_linear(tensors, name, module.get_submodule(name), may_be_float=True)
    return flags


def _classifiers(module: VisionTransformer) -> list[str]:
    names = ["head", *([SECOND[type(module)]] if type(module) in SECOND else [])]
    return [name for name in names if not isinstance(module.get_submodule(name), nn.Identity)]


def _sizes(module: VisionTransformer, flags: int, tensors: Tensors) -> dict[str, Any]:
    """Return what the engine's description says, checked for what it needs to be."""
    attention, embed = module.blocks[0].attn, module.patch_embed
    hidden = module.blocks[0].mlp.fc1.weight.quantized.shape[0]
    widths = {"dim": module.embed_dim, "head_dim": attention.head_dim, "hidden": hidden}
    for name, width in widths.items():
        if width % WIDTH_MULTIPLE:
            raise refuse(name, f"is {width}, not a multiple of {WIDTH_MULTIPLE}")
    epsilons = {layer.eps for layer in module.modules() if isinstance(layer, nn.LayerNorm)}
    if len(epsilons) != 1:
        raise refuse("LayerNorm", f"has several epsilons: {sorted(epsilons)}")
    classifiers = _classifiers(module)
    floats = (FLOATS["embed"] if "patch_embed.proj.input" not in tensors.values else 0) | (
        FLOATS["head"] if classifiers and "head.input" not in tensors.values else 0
    )
    if len({f"{name}.input" in tensors.values for name in classifiers}) > 1:
        raise refuse("the two classifiers", "differ in whether their inputs stay float")
    pool = "avg_all" if module.global_pool == "avg" and module.pool_include_prefix else module.global_pool
    sizes = {
        "height": embed.img_size[0],
        "width": embed.img_size[1],
        "patch_height": embed.patch_size[0],
        "patch_width": embed.patch_size[1],
        "dim": module.embed_dim,
        "heads": attention.num_heads,
        "head_dim": attention.head_dim,
        "hidden": hidden,
        "depth": len(module.blocks),
        "prefix": module.num_prefix_tokens,
        "pool": POOLS["token_avg" if isinstance(module, ClassAndMean) else pool],
        "classes": module.num_classes if classifiers else 0,
        "classifiers": 2 if type(module) in SECOND else 1,
        "flags": flags,
        "epsilon": epsilons.pop(),
        "floats": floats,
    }
    assert sizes.keys() == set(FILE_FIELDS), "the engine's contract has other fields"
    return sizes
