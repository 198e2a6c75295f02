"""The folds of a method, applied to a model that is about to be calibrated."""

import torch
from torch import Tensor, nn

from export.core.errors import ConversionError
from export.core.figures.fidelity import capped_sqnr_db
from export.quantization.calibration.folds.equalization import equalize, find_pairs, layernorm_factors, smooth_factors
from export.quantization.calibration.folds.residual_stream import HINT, find_stream
from export.quantization.calibration.folds.rotation import rotate
from export.quantization.calibration.folds.shifting import shift
from export.quantization.calibration.observers import observe
from export.quantization.layers.discovery import QuantizableLayer
from export.quantization.recipes import Quantization

EXACT_DB = 60.0  # rounding in float32 leaves twice that


def apply_folds(module: nn.Module, quantization: Quantization, images: Tensor) -> None:
    """Fold what the method says, in place, with ranges and means from `images [n, 3, H, W]`.

    Raises `ConversionError` for a model that has nothing to fold, or whose outputs would not stay the same.
    """
    method, bits = quantization.method, quantization.activation_bits
    if bits is None:  # all folds are for activations
        return
    if method.fold == "rotate" or method.shift:
        _change_basis(module, quantization, images)
    if method.fold in ("layernorm", "smooth"):
        _equalize(module, quantization, images, bits)


@torch.no_grad()
def _change_basis(module: nn.Module, quantization: Quantization, images: Tensor) -> None:
    stream, example = find_stream(module), images[:1]
    expected = module(example)
    if quantization.method.fold == "rotate":
        rotate(stream, quantization.calibration.seed)
    if quantization.method.shift:
        shift(module, stream, images)
    found = capped_sqnr_db(expected.cpu().numpy(), module(example).cpu().numpy())
    if found < EXACT_DB:
        raise ConversionError(
            f"{type(module).__name__}: its outputs would not stay the same in another basis: {found:.0f} dB of "
            f"{EXACT_DB:.0f} dB",
            hint=HINT,
        )


def _equalize(module: nn.Module, quantization: Quantization, images: Tensor, bits: int) -> None:
    for pair in find_pairs(module):
        layer = QuantizableLayer(pair.layer, "linear", pair.linear)
        inputs = observe(module, [layer], images, gradient=None, seed=0)[pair.layer].inputs[0].flatten(0, -2)
        if quantization.method.fold == "layernorm":
            equalize(pair, *layernorm_factors(inputs, bits))
        else:
            equalize(pair, smooth_factors(inputs, [pair.linear.weight], quantization.calibration.smooth))
