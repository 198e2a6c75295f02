"""Properties of packing, quantizers and integer layers that hold for all values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from export.core.errors import ArtifactError
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear, integer_arithmetic
from export.quantization.layers.packing import pack, row_bytes, unpack
from export.quantization.layers.quantizers import Dynamic, Quantizer, Twin, Uniform, quantizer_from_json
from export.quantization.layers.rounding import absmax_scale, quantize_asymmetric, quantize_symmetric

BITS = st.integers(3, 8)
SEEDS = st.integers(0, 2**31)


def numbers(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=generator)


def probabilities(seed: int, *shape: int) -> Tensor:
    return (4 * numbers(seed, *shape)).softmax(-1)


@given(bits=BITS, rows=st.integers(1, 5), columns=st.integers(1, 70), seed=SEEDS)
def test_packing_goes_round(bits: int, rows: int, columns: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (rows, columns), dtype=np.uint8)
    packed = pack(codes, bits)
    assert packed.shape == (rows, row_bytes(columns, bits)) and packed.dtype == np.uint8
    assert np.array_equal(unpack(packed, columns, bits), codes)


def test_bits_lie_as_documented() -> None:
    assert pack(np.array([[1, 2, 7]], np.uint8), 3).tolist() == [[0b11_010_001, 0b1]]
    assert pack(np.array([[0x5, 0xA, 0x3]], np.uint8), 4).tolist() == [[0xA5, 0x03]]
    with pytest.raises(ArtifactError, match="4 bits"):
        pack(np.array([[16]], np.uint8), 4)
    with pytest.raises(ArtifactError, match="do not contain"):
        unpack(np.zeros((1, 2), np.uint8), 9, 4)


@given(bits=BITS, seed=SEEDS, spread=st.floats(1e-3, 1e3))
def test_uniform_error_is_at_most_half_a_step(bits: int, seed: int, spread: float) -> None:
    x = numbers(seed, 64, spread=spread)
    scale = x.abs().max() / (2 ** (bits - 1) - 1)
    assert (Uniform(bits, scale)(x) - x).abs().max() <= scale / 2 * (1 + 1e-5)
    low, high = x.min().clamp_max(0), x.max().clamp_min(0)
    scale = (high - low) / (2**bits - 1)
    affine = Uniform(bits, scale, (-low / scale).round())
    assert (affine(x) - x).abs().max() <= scale * (1 + 1e-4)  # the zero point is rounded too
    assert affine(torch.zeros(1)).item() == 0


@given(bits=BITS, seed=SEEDS, shift=st.integers(0, 6))
def test_twin_ranges_exclude_each_other_and_err_at_most_half_a_step(bits: int, seed: int, shift: int) -> None:
    levels = 2 ** (bits - 1)
    high = torch.tensor(1 / (levels - 1))
    x = probabilities(seed, 8, 8)
    softmax = Twin("magnitude", bits, high * 2.0**-shift, high)
    (low_part, low_scale), (high_part, high_scale) = softmax.quantize(x)
    assert not ((low_part != 0) & (high_part != 0)).any()
    error = (softmax(x) - x).abs()
    in_low = (x / low_scale).round() <= levels - 1
    assert (error[in_low] <= low_scale / 2 * (1 + 1e-5)).all()
    assert (error[~in_low] <= high_scale / 2 * (1 + 1e-5)).all()
    y = nn.functional.gelu(numbers(seed, 64, spread=2.0))
    gelu = Twin("sign", bits, torch.tensor(0.17 / levels), y.max().clamp_min(0.1) / (levels - 1))
    (negative, _), (positive, _) = gelu.quantize(y)
    assert (negative <= 0).all() and (positive >= 0).all() and not ((negative != 0) & (positive != 0)).any()
    steps = torch.where(y < 0, gelu.low_scale, gelu.high_scale)
    assert ((gelu(y) - y).abs() <= steps / 2 * (1 + 1e-4)).all()


def test_the_published_softmax_ranges_overlap() -> None:
    """PTQ4ViT's code adds the whole low range to every large value; ours reproduces it only when asked."""
    high = torch.tensor(1 / 127)
    x = torch.tensor([0.5])
    assert Twin("overlap", 8, high / 16, high)(x).item() == pytest.approx(0.5 + 1 / 16, abs=1e-2)
    assert Twin("magnitude", 8, high / 16, high)(x).item() == pytest.approx(0.5, abs=1e-2)


@given(bits=BITS, seed=SEEDS)
def test_dynamic_scales_belong_to_each_token(bits: int, seed: int) -> None:
    x = numbers(seed, 4, 16) * torch.tensor([[1e-3], [1.0], [1e3], [0.0]])
    ((levels, scale),) = Dynamic(bits).quantize(x)
    assert scale.shape == (4, 1) and levels[3].eq(0).all()
    assert levels[:3].abs().amax(1).eq(2 ** (bits - 1) - 1).all()
    assert ((levels * scale - x).abs() <= scale / 2 * (1 + 1e-5)).all()


@given(seed=SEEDS, bits=BITS)
def test_quantizers_survive_json_exactly(seed: int, bits: int) -> None:
    scales = numbers(seed, 3).abs() + 1e-3
    x = numbers(seed + 1, 2, 3, 5, 7)
    for quantizer in (
        Uniform(bits, scales[0]),
        Uniform(bits, scales[0], torch.tensor(3.0)),
        Uniform(bits, scales[:, None, None]),
        Twin("sign", bits, scales[0], scales[1]),
        Dynamic(bits, dim=-2),
        Dynamic(bits, spread="positive"),
        Dynamic(bits, spread="range"),
    ):
        again = quantizer_from_json(quantizer.to_json())
        assert again is not None and torch.equal(again(x), quantizer(x))


def inputs_of(kind: str, bits: int, x: Tensor) -> Quantizer:
    scale = x.abs().max() / (2 ** (bits - 1) - 1)
    return {
        "uniform": Uniform(bits, scale),
        "affine": Uniform(bits, scale, torch.tensor(2.0 ** (bits - 1))),
        "twin": Twin("sign", bits, scale / 4, scale),
        "dynamic": Dynamic(bits),
    }[kind]


@settings(deadline=None, max_examples=40)
@given(kind=st.sampled_from(["uniform", "affine", "twin", "dynamic"]), bits=BITS, weight_bits=BITS, seed=SEEDS)
def test_integer_layers_equal_fake_quantized_ones(kind: str, bits: int, weight_bits: int, seed: int) -> None:
    x, weight, bias = numbers(seed, 5, 24), numbers(seed + 1, 6, 24), numbers(seed + 2, 6)
    integers = quantize_symmetric(weight, absmax_scale(weight, weight_bits, "channel"), weight_bits)
    layer = QuantLinear(integers, bias, inputs_of(kind, bits, x))
    assert layer.input is not None
    simulated = nn.functional.linear(layer.input(x), integers.dequantized(), bias)
    with integer_arithmetic(layer):
        exact = layer(x)
    for found in (exact, layer(x)):
        assert torch.allclose(found, simulated, rtol=1e-5, atol=1e-5 * float(simulated.abs().max()))


@given(bits=BITS, seed=SEEDS)
def test_integer_convolutions_and_products_too(bits: int, seed: int) -> None:
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    x = numbers(seed, 2, 3, 8, 8)
    weight = quantize_asymmetric(numbers(seed + 1, 4, 3, 3, 3), bits, "tensor")
    layer = QuantConv2d(conv, weight, None, Uniform(bits, x.abs().max() / 2 ** (bits - 1)))
    left, right = probabilities(seed, 1, 2, 5, 5), numbers(seed, 1, 2, 5, 4)
    product = Product(
        Twin("magnitude", bits, torch.tensor(2.0**-12), torch.tensor(2.0**-8)), Uniform(bits, torch.tensor(0.1))
    )
    with torch.no_grad():
        fake = (layer(x), product(left, right))
        with integer_arithmetic(layer), integer_arithmetic(product):
            exact = (layer(x), product(left, right))
    for one, other in zip(fake, exact, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


@given(bits=BITS, seed=SEEDS)
def test_stored_codes_stand_for_the_weight(bits: int, seed: int) -> None:
    value = numbers(seed, 4, 9)
    for weight in (
        quantize_symmetric(value, absmax_scale(value, bits, "channel"), bits),
        quantize_symmetric(value, absmax_scale(value, bits, "tensor"), bits),
        quantize_asymmetric(value, bits, "channel"),
    ):
        codes = unpack(pack(weight.codes().numpy(), bits), 9, bits).astype(np.float32)
        point = 2.0 ** (bits - 1) if weight.zero_point is None else weight.zero_point[:, None].numpy()
        assert np.array_equal((codes - point) * weight.scale[:, None].numpy(), weight.dequantized().numpy())
        assert ((weight.dequantized() - value).abs() <= weight.scale[:, None] * (1 + 1e-4)).all()
