"""Random weights like trained ones: no zero bias, no unit LayerNorm, which converters would remove; and outliers."""

import math

import torch
from torch import Tensor, nn

from export.core.errors import RequestError

# A freshly initialised timm model has zero biases and unit scales, which converters remove from the graph: what is
# then measured and verified is not the model that a trained checkpoint gives.
BIAS_STD = 0.05
SCALE_STD = 0.2
EMBEDDING_STD = 0.3
GAIN = 0.8
# Outliers like those of trained ViTs: channels, and a token, far above all others.
FACTOR = 200.0  # of channels behind a LayerNorm
CHANNELS_PER_OUTLIER = 24
TOKEN_VALUE = 40.0  # added to one channel of the class token
PAIRS = (("norm1", "attn.qkv"), ("norm2", "mlp.fc1"))  # a block's LayerNorm, and what reads it


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and every BatchNorm statistic a random value, in place; the same seed, the same values.

    Matrices and kernels get normal values of standard deviation 0.8/√fan_in, which keeps the activations of
    every family finite and the logits of order 1; biases 0.05·N, scales 1 + 0.2·N, embeddings 0.3·N; running
    means 0.1·N and variances uniform in 0.5 … 1.5.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(_parameter(name, parameter, generator))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * _normal(buffer, generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module


def _parameter(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    values = _normal(parameter, generator)
    if name.endswith("bias"):
        return BIAS_STD * values
    if name.endswith("weight") and parameter.ndim >= 2:
        return GAIN / math.sqrt(parameter[0].numel()) * values
    if parameter.ndim <= 1:  # the scale of a LayerNorm, a BatchNorm or a LayerScale
        return 1 + SCALE_STD * values
    return EMBEDDING_STD * values  # class tokens, position embeddings, tables of relative positions


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)


@torch.no_grad()
def add_outliers(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a ViT outliers, in place: in one of 24 channels behind each LayerNorm of its blocks, and its class token.

    What multiplies those channels is made as much smaller, so the class token's is the only change of the outputs.
    Raises `RequestError` for a model without such blocks or a class token.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [pair for block in module.modules() if (pair := _pairs(block))]
    token = getattr(module, "cls_token", None)
    if not found or not isinstance(token, nn.Parameter):
        raise RequestError(
            f"--weights outliers: {type(module).__name__} has no blocks of a ViT, or no class token",
            hint="choose a ViT or DeiT, such as --model deit_t",
        )
    size = token.shape[-1]
    for pairs in found:
        for norm, layer in pairs:
            channels = torch.randperm(size, generator=generator)[: max(1, size // CHANNELS_PER_OUTLIER)]
            norm.weight[channels] *= FACTOR
            norm.bias[channels] *= FACTOR
            layer.weight[:, channels] /= FACTOR
    token[..., int(torch.randint(size, (), generator=generator))] += TOKEN_VALUE
    return module


def _pairs(block: nn.Module) -> list[tuple[nn.LayerNorm, nn.Linear]]:
    pairs = []
    for names in PAIRS:
        try:
            norm, layer = (block.get_submodule(name) for name in names)
        except AttributeError:
            return []
        if not isinstance(norm, nn.LayerNorm) or not norm.elementwise_affine or not isinstance(layer, nn.Linear):
            return []
        pairs.append((norm, layer))
    return pairs
