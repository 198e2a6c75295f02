"""Random weights like trained ones: no zero bias, no unit LayerNorm, which converters would remove as no-ops."""

import math

import torch
from torch import Tensor, nn

# A freshly initialised timm model has zero biases and unit scales, which converters remove from the graph: what is
# then measured and verified is not the model that a trained checkpoint gives.
BIAS_STD = 0.05
SCALE_STD = 0.2
EMBEDDING_STD = 0.3
GAIN = 0.8


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
