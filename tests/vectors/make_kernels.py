"""Write kernels.json: inputs and outputs of the vit engine's kernels, for C and Python alike.

Floats are given by their bits, as int32, so that none is lost; `outputs` are those of the definition in NumPy.

Run: python tests/vectors/make_kernels.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.conversion.engine.reference import OperandQuantizer, gelu, layernorm, linear, power_of_two, sum_lanes, wide
from export.quantization.layers.packing import pack

Arrays = dict[str, NDArray[Any]]
# Scale, least and greatest level; a scale of 0 is found from the largest magnitude, -1 from the range.
QUANTIZERS = {
    "static symmetric": (0.02, -128, 127),
    "static asymmetric": (0.013, -37, 218),
    "static, all above zero": (0.01, 0, 255),
    "static, 4 bits": (0.3, -6, 9),
    "dynamic symmetric": (0, -127, 127),
    "dynamic symmetric, 3 bits": (0, -3, 3),
    "dynamic positive": (0, 0, 255),
    "dynamic range": (-1, -255, 255),
    "dynamic range, 6 bits": (-1, -63, 63),
}
EPILOGUES = ("store", "add", "gelu", "gelu_tanh")
ROWS, INS, OUTS, BITS = 4, 12, 11, 6


def floats(values: Any) -> NDArray[np.float32]:
    """Return float32."""
    return np.asarray(values, np.float32)


def quantize_cases(random: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of widths that are no multiples of 8, of zeros, and of tiny and huge values."""
    rows = [floats(random.normal(0.3, 1, width)) for width in (4, 12, 20)]
    rows += [floats([0.0] * 4), floats([1e-38, -2e-38, 1e-45, 0]), floats([3e34, -1e34, 2e34, -0.0])]
    rows += [np.round(floats(random.normal(0, 40, 8))) * floats(0.01)]  # values between two levels
    found = []
    for name, numbers in QUANTIZERS.items():
        for row in rows:
            x = np.abs(row) if "positive" in name else row
            levels, step = OperandQuantizer(*floats(numbers)).quantize(x[None])
            padded = np.zeros(-(-len(x) // 8) * 8, np.int32)
            padded[: len(x)] = levels[0]
            outputs = {"levels": padded, "scale": floats(step).ravel()}
            found.append(case("quantize", name, {"x": x, "numbers": floats(numbers)}, outputs))
    return found


def norm_cases(random: np.random.Generator) -> list[dict[str, Any]]:
    """Rows around 0, far from it, and constant ones."""
    found = []
    for width, mean, spread in ((4, 0.0, 1.0), (20, 3.0, 0.1), (24, 0.0, 100.0), (8, 2.0, 0.0)):
        x, beta = floats(random.normal(mean, spread, width)), floats(random.normal(0, 1, width))
        gamma, epsilon = floats(random.normal(1, 0.2, width)), floats([1e-6])
        outputs = {"y": layernorm(x, gamma, beta, epsilon[0])}
        inputs = {"x": x, "gamma": gamma, "beta": beta, "epsilon": epsilon}
        found.append(case("layernorm", f"{width}", inputs, outputs))
    return found


def power_cases(random: np.random.Generator) -> list[dict[str, Any]]:
    """Scores near each other, far apart, and padded as those of tokens that are none."""
    found = []
    for scores in (random.normal(0, 2, 12), random.normal(0, 60, 20), [5.0, 5.0, -1e30, -1e30], [-3e4, 0.5, 0, 1e-3]):
        x = floats(scores)
        powers = power_of_two(x - x.max())
        found.append(case("powers", f"{len(x)}", {"scores": x}, {"powers": powers, "total": sum_lanes(powers)}))
    return found


def gelu_cases() -> list[dict[str, Any]]:
    """Both forms from end to end."""
    x = floats([*np.linspace(-6, 6, 49), -1e30, 1e30, -3.7, 3.7, -3.68, 3.68, 1e-30, -0.0, 0.0, 88, -88])
    return [case(name, "", {"x": x}, {"y": gelu(x, tanh=name == "gelu_tanh")}) for name in ("gelu", "gelu_tanh")]


def half_cases() -> list[dict[str, Any]]:
    """Float16: zeros, subnormal numbers, ordinary ones, infinities and what is no number."""
    half = np.array(
        [0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC01, 0x7BFF, 0xFBFF, 0x3555, 0x7C00, 0xFC00], np.uint16
    )
    stored = half.view(np.uint8).astype(np.int32)
    return [case("widen", "float16", {"stored": stored}, {"y": half.view(np.float16).astype(np.float32)})]


def linear_cases(random: np.random.Generator) -> list[dict[str, Any]]:
    """One tile with every epilogue, by quantizers of every kind, and one whose inputs the recipe leaves in float."""
    x, before = floats(random.normal(0.2, 1, (ROWS, INS))), floats(random.normal(0, 1, (ROWS, OUTS)))
    codes = random.integers(0, 1 << BITS, (OUTS, INS), dtype=np.uint8)
    weight = codes.astype(np.float64) - (1 << (BITS - 1))
    scale, bias = floats(random.uniform(1e-3, 2e-2, OUTS)), floats(random.normal(0, 0.5, OUTS))
    kinds = [
        *zip(EPILOGUES, ("dynamic range", "static asymmetric", "dynamic symmetric", "static symmetric"), strict=True)
    ]
    found = []
    for how, name in [*kinds, ("store", "float"), ("add", "float")]:
        numbers = floats(QUANTIZERS.get(name, (0, 0, 0)))
        y = linear((wide(INS) if name == "float" else OperandQuantizer(*numbers)).quantize(x), weight, scale, bias)
        y = {"store": y, "add": y + before, "gelu": gelu(y), "gelu_tanh": gelu(y, tanh=True)}[how]
        given = {"x": x, "packed": pack(codes, BITS).astype(np.int32), "scale": scale, "bias": bias, "numbers": numbers}
        found.append(case("linear", f"{how}, {name}", given | {"before": before}, {"y": y}))
    return found


def case(kernel: str, name: str, inputs: Arrays, outputs: Arrays) -> dict[str, Any]:
    """Return a vector, its floats as their bits."""

    def bits(arrays: Arrays) -> dict[str, list[int]]:
        return {key: np.ascontiguousarray(values).view(np.int32).ravel().tolist() for key, values in arrays.items()}

    return {"kernel": kernel, "name": name, "inputs": bits(inputs), "outputs": bits(outputs)}


def vectors() -> list[dict[str, Any]]:
    """Return all."""
    random = np.random.default_rng(0)
    return [
        *quantize_cases(random),
        *norm_cases(random),
        *power_cases(random),
        *gelu_cases(),
        *half_cases(),
        *linear_cases(random),
    ]


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in vectors())
    Path(__file__).with_name("kernels.json").write_text(f"[\n{lines}\n]\n")
