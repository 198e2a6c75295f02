"""What the fields of `config.json` mean: the arguments of timm's twin, family by family."""

import math
from typing import Any

from export.core.errors import RequestError
from export.models.folder.config import Config, words

# Names in transformers of the activations of timm; the second and third way to write a function are equal to rounding.
GELU, GELU_TANH, QUICK_GELU = "gelu", "gelu_tanh", "quick_gelu"
ACTIVATIONS = {
    **dict.fromkeys(("gelu", "gelu_python"), GELU),
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"), GELU_TANH),
    "quick_gelu": QUICK_GELU,
    "relu": "relu",
    "relu6": "relu6",
    **dict.fromkeys(("silu", "swish"), "silu"),
    "mish": "mish",
}
SWIN_EPS = 1e-5  # of the norms of Swin's embeddings and mergings, whatever layer_norm_eps says
STAGES = 4  # of timm's ResNet
EXPANSION = {"basic": 1, "bottleneck": 4}
DEEPEST = 1000  # blocks; a model of far more could not be created
STEM = 64  # channels of a ResNet's first convolution in timm

# Fields that a configuration of any family may have, and that do not change what a trained model gives for an image.
COMMON = words(
    "architectures model_type transformers_version torch_dtype dtype _name_or_path id2label label2id num_labels",
    "problem_type finetuning_task return_dict output_attentions output_hidden_states use_cache hidden_dropout_prob",
    "attention_probs_dropout_prob drop_path_rate initializer_range encoder_stride is_encoder_decoder is_decoder",
    "classifier_dropout initializer_factor attn_implementation _attn_implementation _attn_implementation_autoset",
    "_commit_hash torchscript tie_word_embeddings use_mask_token num_channels license tags pipeline_tag",
)
# Those that decide it, and that no family supports with another value.
REFUSED: dict[str, Any] = {"is_decoder": False, "add_cross_attention": False, "pruned_heads": {}}


def activation(config: Config, default: str = "gelu", supported: tuple[str, ...] = ()) -> dict[str, str]:
    """Return timm's argument for `hidden_act`, none for GELU; raises `RequestError` for one that timm lacks."""
    name = config.get("hidden_act", default)
    allowed = [written for written, meant in ACTIVATIONS.items() if not supported or meant in supported]
    if name not in allowed:
        raise config.fault("hidden_act", ", ".join(allowed))
    meant = ACTIVATIONS[name]
    return {} if meant == GELU else {"act_layer": meant}


def ratio(hidden: int, width: int) -> float:
    """Return the ratio by which timm, which rounds down, computes just the `hidden` width of an MLP."""
    value = hidden / width
    return value if int(width * value) == hidden else math.nextafter(value, math.inf)


def _encoder(config: Config, *, patch: int, eps: float) -> dict[str, Any]:
    width, heads = config.whole("hidden_size", 768), config.whole("num_attention_heads", 12)
    if width % heads:
        raise config.fault("num_attention_heads", f"a divisor of hidden_size, which is {width}")
    config.only("head_dim", width // heads)
    return {
        "img_size": config.side("image_size", 224),
        "patch_size": config.side("patch_size", patch),
        "embed_dim": width,
        "depth": config.whole("num_hidden_layers", 12, DEEPEST),
        "num_heads": heads,
        "qkv_bias": config.flag("qkv_bias", True),
        "norm_eps": config.number("layer_norm_eps", eps),
    }


def vit(config: Config) -> dict[str, Any]:
    """Return the arguments of ViT."""
    arguments = _encoder(config, patch=16, eps=1e-12)
    hidden = config.whole("intermediate_size", 3072)
    return arguments | {"mlp_ratio": ratio(hidden, arguments["embed_dim"])} | activation(config)


def vit_msn(config: Config) -> dict[str, Any]:
    """Return the arguments of ViT-MSN, which is a ViT with another default."""
    return vit(config) | {"norm_eps": config.number("layer_norm_eps", 1e-6)}


def deit(config: Config) -> dict[str, Any]:
    """Return the arguments of DeiT; its distillation token is a register of timm's where only one head reads."""
    return vit(config) | {"reg_tokens": 1}


def dinov2(config: Config) -> dict[str, Any]:
    """Return the arguments of DINOv2, with SwiGLU (of two thirds of the width, in eights) or without."""
    arguments = _encoder(config, patch=14, eps=1e-6) | {"init_values": 1.0}
    width = arguments["embed_dim"]
    hidden = int(width * config.number("mlp_ratio", 4))
    if not config.flag("use_swiglu_ffn", False):
        return arguments | {"mlp_ratio": ratio(hidden, width)} | activation(config)
    gated = (int(hidden * 2 / 3) + 7) // 8 * 8
    return arguments | {"mlp_ratio": ratio(2 * gated, width)}


def dinov2_with_registers(config: Config) -> dict[str, Any]:
    """Return the arguments of DINOv2 with registers, which have no position; the class token's is added to it."""
    registers = config.get("num_register_tokens", 4)
    if type(registers) is not int or registers < 0:
        raise config.fault("num_register_tokens", "a whole number of at least 0")
    patch = config.side("patch_size", 16)
    return dinov2(config) | {"patch_size": patch, "reg_tokens": registers, "no_embed_class": True}


def swin(config: Config) -> dict[str, Any]:
    """Return the arguments of Swin Transformer."""
    config.only("use_absolute_embeddings", False)
    activation(config, supported=(GELU,))  # timm's has no other
    depths, heads = config.wholes("depths", (2, 2, 6, 2), DEEPEST), config.wholes("num_heads", (3, 6, 12, 24))
    if len(heads) != len(depths):
        raise config.fault("num_heads", f"a list of {len(depths)}, as many as depths")
    eps = config.number("layer_norm_eps", SWIN_EPS)
    return {
        "img_size": config.side("image_size", 224),
        "patch_size": config.side("patch_size", 4),
        "embed_dim": config.whole("embed_dim", 96),
        "depths": list(depths),
        "num_heads": list(heads),
        "window_size": config.side("window_size", 7),
        "mlp_ratio": config.number("mlp_ratio", 4.0),
        "qkv_bias": config.flag("qkv_bias", True),
        **({"norm_eps": eps} if eps != SWIN_EPS else {}),
    }


def check_windows(config: Config, arguments: dict[str, Any]) -> None:
    """Raise `RequestError` where shifted windows do not tile a stage's tokens: then the two libraries differ.

    timm shifts tokens and then fills up the last windows, transformers the other way round.
    """
    window = arguments["window_size"]
    side = arguments["img_size"] // arguments["patch_size"]
    for depth in arguments["depths"]:
        if depth > 1 and side > window and side % window:
            multiple = arguments["patch_size"] * window * 2 ** (len(arguments["depths"]) - 1)
            raise RequestError(
                f"{config.path}: windows of window_size {window} do not tile {side}×{side} tokens of images of "
                f"{arguments['img_size']}×{arguments['img_size']}, where timm and transformers differ",
                hint=f"pass --image-size with a multiple of {multiple}",
            )
        side = -(-side // 2)


def resnet(config: Config) -> dict[str, Any]:
    """Return the arguments of ResNet."""
    config.only("embedding_size", STEM)
    config.only("downsample_in_first_stage", False)
    config.only("downsample_in_bottleneck", False)
    depths, widths = (
        config.wholes("depths", (3, 4, 6, 3), DEEPEST),
        config.wholes("hidden_sizes", (256, 512, 1024, 2048)),
    )
    expansion = EXPANSION[resnet_block(config)]
    if len(depths) != STAGES:
        raise config.fault("depths", f"a list of {STAGES}")
    if len(widths) != STAGES or any(width % expansion for width in widths):
        raise config.fault("hidden_sizes", f"a list of {STAGES} multiples of {expansion}")
    name = config.get("hidden_act", "relu")
    if not isinstance(name, str) or ACTIVATIONS.get(name) not in ("relu", "silu"):
        raise config.fault("hidden_act", "relu, silu")
    arguments = {"layers": list(depths), "channels": [width // expansion for width in widths]}
    return arguments if name == "relu" else arguments | {"act_layer": ACTIVATIONS[name]}


def resnet_block(config: Config) -> str:
    """Return the kind of a ResNet's blocks."""
    kind = config.get("layer_type", "bottleneck")
    if kind not in tuple(EXPANSION):
        raise config.fault("layer_type", ", ".join(EXPANSION))
    return str(kind)
