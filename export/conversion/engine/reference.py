"""The engine's bit-exact reference in NumPy: it computes, to the last bit, what the engine computes of its file.

Quantizing activations makes a deep model chaotic: the last bit of a float now and then decides which integer it is
rounded to, and the layers that follow amplify the difference. Two executors whose floats differ in the last bit
therefore agree no better than both agree with the float model, and only one that rounds alike at every operation can
be compared exactly. So this states every float operation in the engine's order; sums run in four lanes, integers are
summed exactly. It is slow, and serves tests.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from export.conversion.engine.contract import FLAGS, POOLS, require_version
from export.quantization.layers.packing import unpack

Floats = NDArray[np.float32]
QuantizedRows = tuple[NDArray[np.float64], Floats]  # quantized values, and the scale of each row
ROUND_UP = 8
MIN_SPAN = np.float32(2.0**-110)
LOG2_E = np.float32(1.44269504)
POWERS = tuple(np.float32(c) for c in (0.0550085679, 0.242210969, 0.693282962, 1.0))
# GELU = x·(c·P(c²) / Q(c²) + ½), c being x clipped to ±CUT; coefficients of P and Q, the highest first.
GELU_CUT, GELU_TANH_CUT = np.float32(3.7), np.float32(3.68)
GELU_P = tuple(np.float32(c) for c in (0.00290100067, 0.104159907, 0.399600267))
GELU_Q = tuple(np.float32(c) for c in (0.0571287237, 0.42553398, 1.0))
GELU_TANH_P = tuple(np.float32(c) for c in (0.00319836033, 0.115770265, 0.398612231))
GELU_TANH_Q = tuple(np.float32(c) for c in (0.0636218563, 0.452058643, 1.0))


@dataclass(frozen=True)
class OperandQuantizer:
    """Quantized values `low` … `high` of one `scale`; 0 is for one by the largest magnitude, below 0 by the range."""

    scale: np.float32
    low: np.float32
    high: np.float32

    def quantize(self, x: Floats, axis: int | None = 1) -> QuantizedRows:
        """Return `x` quantized and the scales of the vectors along `axis`; None: one for the whole of it."""
        if self.scale < 0:
            low = np.minimum(x.min(axis, keepdims=True), np.float32(0))
            span = np.maximum(x.max(axis, keepdims=True), np.float32(0)) - low
            scale = np.maximum(span, MIN_SPAN) / (self.high - np.float32(1))
            inverse = np.float32(1) / scale
            least = np.rint(low * inverse)
            return np.rint(np.clip(x * inverse, least, least + self.high)).astype(np.float64), scale
        largest = np.abs(x).max(axis, keepdims=True)
        scale = np.maximum(largest, MIN_SPAN) / self.high if self.scale == 0 else np.full_like(largest, self.scale)
        return self.round(x * (np.float32(1) / scale)), scale

    def round(self, x: Floats) -> NDArray[np.float64]:
        """Return `x` clamped to low … high and rounded to nearest, ties to even."""
        rounded: NDArray[np.float64] = np.rint(np.maximum(np.minimum(x, self.high), self.low)).astype(np.float64)
        return rounded


def read_engine_file(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return sizes and tensors, packed ones as quantized values `[out, in]` and all floats as float32.

    Raises `ArtifactError` for a file of another format or version.
    """
    with safe_open(path, "numpy") as opened:
        metadata = opened.metadata() or {}
        require_version(metadata, path)
        plan = json.loads(metadata["plan"])
        raw = {name: opened.get_tensor(name) for name, _ in plan["tensors"]}
    sizes, tensors = plan["sizes"], {}
    columns = {"attn.proj": sizes["heads"] * sizes["head_dim"], "mlp.fc2": sizes["hidden"]}
    columns["patch_embed.proj"] = 3 * sizes["patch_height"] * sizes["patch_width"]
    for name, bits in plan["tensors"]:
        tensors[name] = raw[name].astype(np.float32)
        if bits:
            layer = name.removesuffix(".weight")
            width = next((value for end, value in columns.items() if layer.endswith(end)), sizes["dim"])
            tensors[name] = unpack(raw[name], width, bits).astype(np.float64) - 2 ** (bits - 1)
    return sizes, tensors


class EngineReference:
    """Runs an engine's file in NumPy."""

    def __init__(self, path: Path) -> None:
        self.sizes, self.tensors = read_engine_file(path)
        self.epsilon = np.float32(self.sizes["epsilon"])
        self.tokens = self.sizes["prefix"] + len(self.tensors["positions"])

    def run(self, images: Floats) -> Floats:
        """Map normalised images `[n, 3, H, W]` to outputs `[n, K]`."""
        return np.stack([self._run_one(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images])

    def _run_one(self, image: Floats) -> Floats:
        x = self._embed(image)
        for index in range(self.sizes["depth"]):
            x = self._attend(x, f"blocks.{index}.")
            x = self._mlp(x, f"blocks.{index}.")
        return self._finish(x)

    def _has(self, flag: str) -> bool:
        return bool(self.sizes["flags"] & FLAGS[flag])

    def _embed(self, image: Floats) -> Floats:
        high, wide = self.sizes["patch_height"], self.sizes["patch_width"]
        down, across = image.shape[0] // high, image.shape[1] // wide
        patches = image[: down * high, : across * wide].reshape(down, high, across, wide, 3)
        rows = np.ascontiguousarray(patches.transpose(0, 2, 1, 3, 4)).reshape(down * across, -1)
        name = "patch_embed.proj"
        quantized = None
        if f"{name}.input" in self.tensors:
            quantizer = OperandQuantizer(*self.tensors[f"{name}.input"])
            if quantizer.scale == 0:  # one scale per image, not per patch
                scale = np.maximum(np.abs(image).max(), MIN_SPAN) / quantizer.high
                quantizer = OperandQuantizer(scale, quantizer.low, quantizer.high)
            quantized = quantizer.quantize(rows)
        x = self._linear(name, rows, quantized) + self.tensors["positions"]
        if self.sizes["prefix"]:
            x = np.concatenate([self.tensors["prefix"], x])
        return self._norm("norm_pre", x) if self._has("norm_pre") else x

    def _attend(self, x: Floats, block: str) -> Floats:
        heads, width = self.sizes["heads"], self.sizes["head_dim"]
        qkv = self._linear(f"{block}attn.qkv", self._norm(f"{block}norm1", x))
        q, k, v = qkv.reshape(self.tokens, 3, heads, width).transpose(1, 2, 0, 3)
        if self._has("qk_norm"):
            q, k = self._norm(f"{block}attn.q_norm", q), self._norm(f"{block}attn.k_norm", k)
        operands = self.tensors[f"{block}attn.operands"]
        out = [self._head(q[head], k[head], v[head], operands[:, :, head]) for head in range(heads)]
        return self._linear(f"{block}attn.proj", np.concatenate(out, axis=1)) + x

    def _head(self, q: Floats, k: Floats, v: Floats, operands: Floats) -> Floats:
        query, key, probability, value = (OperandQuantizer(*numbers) for numbers in operands)
        queries, query_scale = query.quantize(q)
        keys, key_scale = key.quantize(k)
        scores = (queries @ keys.T).astype(np.float32) * ((query_scale * LOG2_E) * key_scale.T)
        padded = np.full((self.tokens, -self.tokens % ROUND_UP), np.float32(-1e30))
        power = power_of_two(np.concatenate([scores, padded], 1) - scores.max(1, keepdims=True))
        total = sum_lanes(power)
        scale = np.float32(1) / (total * probability.high) if probability.scale == 0 else probability.scale
        factor = probability.high if probability.scale == 0 else np.float32(1) / (total * probability.scale)
        probabilities = probability.round(power * factor)[:, : self.tokens]
        values, value_scale = value.quantize(v, axis=0)
        return (probabilities @ values).astype(np.float32) * (scale * value_scale)

    def _mlp(self, x: Floats, block: str) -> Floats:
        hidden = self._linear(f"{block}mlp.fc1", self._norm(f"{block}norm2", x))
        hidden = gelu(hidden, tanh=self._has("gelu_tanh"))
        return self._linear(f"{block}mlp.fc2", hidden) + x

    def _finish(self, x: Floats) -> Floats:
        if self._has("norm"):
            x = self._norm("norm", x)
        pooled = x[: self.sizes["classifiers"]]
        pool, second = self.sizes["pool"], "head_dist"
        if pool != POOLS["token"]:
            chosen = x if pool == POOLS["avg_all"] else x[self.sizes["prefix"] :]
            total = np.zeros_like(x[:1])
            for row in chosen:
                total = total + row
            pooled = total / np.float32(len(chosen))
        if pool == POOLS["token_avg"]:
            pooled, second = np.concatenate([x[:1], pooled]), "head_mean"
        if self._has("fc_norm"):
            pooled = self._norm("fc_norm", pooled)
        if self.sizes["classes"]:
            names = ("head", second)[: len(pooled)]
            pooled = np.concatenate([self._linear(name, row[None]) for name, row in zip(names, pooled, strict=True)])
        outcome: Floats = pooled[0] if len(pooled) == 1 else (pooled[0] + pooled[1]) / np.float32(2)
        return outcome

    def _linear(self, name: str, x: Floats, quantized: QuantizedRows | None = None) -> Floats:
        weight, scale, bias = (self.tensors[f"{name}.{part}"] for part in ("weight", "scale", "bias"))
        if quantized is None:
            numbers = self.tensors.get(f"{name}.input")
            quantized = (wide(weight.shape[1]) if numbers is None else OperandQuantizer(*numbers)).quantize(x)
        return linear(quantized, weight, scale, bias)

    def _norm(self, name: str, x: Floats) -> Floats:
        return layernorm(x, self.tensors[f"{name}.gamma"], self.tensors[f"{name}.beta"], self.epsilon)


def wide(ins: int) -> OperandQuantizer:
    """Return the quantizer of `ins` inputs that the recipe leaves in float.

    It has the widest range within int16 with which int32 sums of products with 8-bit weights do not overflow.
    """
    most = np.float32(min((2**31 - 1) // (128 * -(-ins // ROUND_UP) * ROUND_UP), 2**15 - 1))
    return OperandQuantizer(np.float32(0), -most, most)


def linear(quantized: QuantizedRows, weight: NDArray[np.float64], scale: Floats, bias: Floats) -> Floats:
    """Return a layer's outputs `[rows, out]` of quantized inputs with their rows' scales."""
    integers, scales = quantized
    output: Floats = (integers @ weight.T).astype(np.float32) * scales * scale + bias
    return output


def layernorm(x: Floats, gamma: Floats, beta: Floats, epsilon: np.float32) -> Floats:
    """Return LayerNorm over the last dimension."""
    width = np.float32(x.shape[-1])
    centred = x - sum_lanes(x) / width
    factor = np.float32(1) / np.sqrt(sum_lanes(centred * centred) / width + epsilon)
    output: Floats = centred * factor * gamma + beta
    return output


def sum_lanes(x: Floats) -> Floats:
    """Return the sums over the last dimension, `[…, 1]`, added up in four lanes, first to last."""
    lanes = np.zeros((*x.shape[:-1], 4), np.float32)
    for start in range(0, x.shape[-1], 4):
        lanes = lanes + x[..., start : start + 4]
    total: Floats = (lanes[..., :1] + lanes[..., 2:3]) + (lanes[..., 1:2] + lanes[..., 3:])
    return total


def power_of_two(x: Floats) -> Floats:
    """Return 2^x for x of at most 0, by a polynomial on [-1/2, 1/2]."""
    x = np.maximum(x, np.float32(-125))
    whole = np.rint(x)
    return np.ldexp(_horner(x - whole, POWERS), whole.astype(np.int32))


def gelu(x: Floats, *, tanh: bool = False) -> Floats:
    """Return GELU, or its tanh form, by the engine's rational approximations."""
    cut = GELU_TANH_CUT if tanh else GELU_CUT
    clipped = np.maximum(np.minimum(x, cut), -cut)
    square = clipped * clipped
    p, q = _horner(square, GELU_TANH_P if tanh else GELU_P), _horner(square, GELU_TANH_Q if tanh else GELU_Q)
    return x * (clipped * p / q + np.float32(0.5))


def _horner(x: Floats, coefficients: tuple[np.float32, ...]) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
