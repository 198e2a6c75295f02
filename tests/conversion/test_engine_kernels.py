"""The engine's kernels, bit for bit as the vectors have them in C and in NumPy, and both near the exact formulas."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_models import EMULATED, ENGINE_TESTS, kernel_builds
from numpy.typing import NDArray

from export.conversion.converter_process import run_node
from export.conversion.engine.reference import OperandQuantizer, gelu, layernorm, linear, power_of_two, sum_lanes, wide
from export.quantization.layers.accumulation import ACCUMULATION_DEPTHS, accumulation_depth
from export.quantization.layers.packing import pack

pytestmark = pytest.mark.conversion

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "kernels.json").read_text())
BUILDS = ("plain", *EMULATED)
EPILOGUES = ("store", "add", "gelu", "gelu_tanh")  # in the order of C's Epilogue
OUTS, BITS, WIDTH = 11, 6, 16  # of the linear layer, and its outputs with their padding
Call = dict[str, Any]


def call(build: str, calls: list[Call], folder: Path) -> list[dict[str, Any]]:
    """Return each call's value and arrays."""
    (folder / "calls.json").write_text(json.dumps(calls))
    paths = [kernel_builds() / f"vit-{build}.wasm", folder / "calls.json", folder / "results.json"]
    run_node(ENGINE_TESTS / "run_kernels.mjs", [str(path) for path in paths], folder / "log")
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())
    return found


def bits(value: float) -> int:
    return int(np.float32(value).view(np.int32))


def as_floats(values: list[int]) -> NDArray[np.float64]:
    return np.array(values, np.int32).view(np.float32).astype(np.float64)


def padded(rows: list[int]) -> list[int]:
    """Return rows of the layer's outputs with the room that the engine has for each."""
    return [
        value for start in range(0, len(rows), OUTS) for value in [*rows[start : start + OUTS], *[0] * (WIDTH - OUTS)]
    ]


def call_of(case: dict[str, Any], row: int) -> Call:
    """Return the call of a vector, as row `row` of four (-1: alone); its outputs come last, zeros before."""
    given, kernel = case["inputs"], case["kernel"]
    x = {"f32": given.get("x", [])}
    count = len(x["f32"])
    if kernel == "quantize":
        args = [x, count, {"f32": given["numbers"]}, row % 4, {"i32": [0] * (-(-count // 8) * 8)}]
    elif kernel == "layernorm":
        epsilon = float(as_floats(given["epsilon"])[0])
        args = [x, count, {"f32": given["gamma"]}, {"f32": given["beta"]}, epsilon, row, {"f32": [0] * count}]
    elif kernel == "powers":
        args = [{"f32": given["scores"]}, len(given["scores"])]
    elif kernel.startswith("gelu"):
        args = [x, count, int(kernel == "gelu_tanh"), {"f32": [0] * -(-count // 4) * 4}]
    elif kernel == "widen":
        count = len(given["stored"]) // 2
        args = [{"u8": given["stored"]}, 16, count, {"f32": [0] * count}]
    else:
        how, is_float = case["name"].split(", ")[0], case["name"].endswith("float")
        args = [
            x,
            OUTS,
            count // 4,
            {"u8": given["packed"]},
            BITS,
            {"f32": given["scale"]},
            {"f32": given["bias"]},
            {"f32": given["numbers"]},
            int(is_float),
            EPILOGUES.index(how),
            {"f32": padded(given["before"])},
        ]
    name = "gelu" if kernel == "gelu_tanh" else kernel
    return {"name": f"test_{name}", "args": args}


def expected(case: dict[str, Any]) -> tuple[list[int], int | None]:
    """Return the array that a call leaves last, and the bits of the float that it returns."""
    outputs = case["outputs"]
    if case["kernel"] == "quantize":
        return outputs["levels"], outputs["scale"][0]
    if case["kernel"] == "powers":
        return outputs["powers"], outputs["total"][0]
    return outputs["y"], None


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("row", [-1, 0, 3])
def test_kernels_in_c_give_the_bits_of_the_vectors(build: str, row: int, tmp_path: Path) -> None:
    results = call(build, [call_of(case, row) for case in CASES], tmp_path)
    for case, result in zip(CASES, results, strict=True):
        what = f"{case['kernel']}, {case['name']}"
        array, value = expected(case)
        found = result["arrays"][-1]
        if case["kernel"] == "linear":
            rows = [found[start : start + OUTS] for start in range(0, len(found), WIDTH)]
            found = [value for row in rows for value in row]
        assert found[: len(array)] == array, what
        assert value is None or bits(result["value"]) == value, what


def packed_weights() -> Iterator[tuple[int, NDArray[np.uint8], list[int]]]:
    """Yield bits, codes `[rows, columns]` and packed bytes: the vectors shared with JavaScript, then long rows."""
    for vector in json.loads((VECTORS / "packed.json").read_text()):
        number, rows = vector["packed"]["bits"], vector["packed"]["shape"][0]
        codes = np.array(vector["codes"], np.uint8).reshape(rows, -1)
        yield number, codes, vector["bytes"][: rows * ((codes.shape[1] * number + 7) // 8)]
    random = np.random.default_rng(0)
    for number in range(3, 9):
        codes = random.integers(0, 1 << number, (9, 131), dtype=np.uint8)
        yield number, codes, pack(codes, number).ravel().tolist()


@pytest.mark.parametrize("build", BUILDS)
def test_packed_weights_are_unpacked_to_their_levels_and_zeros(build: str, tmp_path: Path) -> None:
    calls, wanted = [], []
    for number, codes, packed in packed_weights():
        rows, columns = codes.shape
        levels = np.zeros((-(-rows // 8) * 8, -(-columns // 8) * 8), int)
        levels[:rows, :columns] = codes.astype(int) - (1 << (number - 1))
        for is_wide in (0, 1):
            room = {"i32": [9] * levels.size}
            calls.append({"name": "test_unpack", "args": [{"u8": packed}, rows, columns, number, is_wide, room]})
            wanted.append(levels.ravel().tolist())
    results = call(build, calls, tmp_path)
    assert len(results) > 60
    assert [result["arrays"][-1] for result in results] == wanted


def linear_call(codes: NDArray[np.uint8], acts: NDArray[np.float32], *, is_wide: bool = False) -> Call:
    """Return the call of a layer of 8-bit codes `[11, in]` and levels 0 … 255 `[4, in]`, all scales 1, no biases.

    `is_wide`: the inputs are no levels, but stay float in the recipe.
    """
    ones, zeros = (np.full(OUTS, value, np.float32).view(np.int32).tolist() for value in (1, 0))
    numbers = np.array([1, 0, 255], np.float32).view(np.int32).tolist()
    args = [
        {"f32": acts.view(np.int32).ravel().tolist()},
        OUTS,
        codes.shape[1],
        {"u8": pack(codes, 8).ravel().tolist()},
        8,
        {"f32": ones},
        {"f32": zeros},
        {"f32": numbers},
        int(is_wide),
        0,
        {"f32": [0] * (4 * WIDTH)},
    ]
    return {"name": "test_linear", "args": args}


def test_sums_in_16_bits_are_exact_up_to_their_room(tmp_path: Path) -> None:
    """The emulated instruction saturates: one weight beyond the room and the run is shorter."""
    random, columns = np.random.default_rng(3), 76
    levels = [np.full((OUTS, columns), sign * size) for size in (8, 16, 32, 64) for sign in (1, -1)]
    wanted = [run for run in ACCUMULATION_DEPTHS for _ in (1, -1)]
    for weight, run in list(zip(levels, wanted, strict=True)):
        greater = weight.copy()
        greater[OUTS - 1, columns - 1] += np.sign(greater[0, 0])  # the last run is cut short: it still has room
        greater[1, 5] += np.sign(greater[0, 0])
        levels.append(greater)
        wanted.append(run // 2)
    levels += [np.rint(random.normal(0, spread, (OUTS, columns))).clip(-128, 127) for spread in (3, 9, 14, 20, 40)]
    wanted += [accumulation_depth(torch.tensor(weight)) for weight in levels[len(wanted) :]]
    assert {*wanted} == {0, *ACCUMULATION_DEPTHS}
    codes = [(weight + 128).astype(np.uint8) for weight in levels]
    packed = [{"u8": pack(weight, 8).ravel().tolist()} for weight in codes]
    calls = [{"name": "test_accumulation_depth", "args": [weight, OUTS, columns, 8]} for weight in packed]
    found = call("unsigned-pairs", calls, tmp_path)
    assert [result["value"] for result in found] == wanted
    assert [accumulation_depth(torch.tensor(weight)) for weight in levels] == wanted

    acts = np.concatenate([np.full((1, columns), 255), random.integers(0, 256, (3, columns))]).astype(np.float32)
    fitting = [index for index, run in enumerate(wanted) if run]
    results = call("unsigned-pairs", [linear_call(codes[index], acts) for index in fitting], tmp_path)
    for index, result in zip(fitting, results, strict=True):
        sums = as_floats(result["arrays"][-1]).reshape(4, WIDTH)[:, :OUTS]
        assert np.array_equal(sums, acts @ levels[index].T), levels[index]


@pytest.mark.parametrize("build", BUILDS)
def test_sums_of_wide_inputs_go_to_the_end_of_32_bits_and_no_further(build: str, tmp_path: Path) -> None:
    for columns in (20, 768, 4096):
        codes, weight = np.zeros((OUTS, columns), np.uint8), np.full((OUTS, columns), -128.0)
        acts = np.float32([[1], [-1], [0.5], [0]]) * np.ones((1, columns), np.float32)
        wanted = linear(wide(columns).quantize(acts), weight, np.ones(OUTS, np.float32), np.zeros(OUTS, np.float32))
        assert np.abs(wanted - acts @ weight.T).max() <= 1e-6 * 128 * columns
        (result,) = call(build, [linear_call(codes, acts, is_wide=True)], tmp_path)
        found = np.array(result["arrays"][-1], np.int32).view(np.float32).reshape(4, WIDTH)[:, :OUTS]
        assert np.array_equal(found, wanted), columns


def test_kernels_in_numpy_give_the_bits_of_the_vectors() -> None:
    spec = importlib.util.spec_from_file_location("make_kernels", VECTORS / "make_kernels.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert json.loads(json.dumps(made.vectors())) == CASES


def test_quantized_rows_are_off_by_half_a_step_at_most() -> None:
    for case in (case for case in CASES if case["kernel"] == "quantize"):
        x, (numbers_scale, low, high) = as_floats(case["inputs"]["x"]), as_floats(case["inputs"]["numbers"])
        levels, (step,) = np.array(case["outputs"]["levels"][: len(x)]), as_floats(case["outputs"]["scale"])
        if numbers_scale < 0:
            assert levels.max() - levels.min() <= high
            span = max(x.max(), 0) - min(x.min(), 0)
            assert span < 1e-30 or step == pytest.approx(span / (high - 1), rel=1e-6)
        else:
            assert low <= levels.min() and levels.max() <= high
            x = np.clip(x, low * step, high * step)
        if numbers_scale == 0 and np.abs(x).max() > 1e-30:
            assert step == pytest.approx(np.abs(x).max() / high, rel=1e-6) and np.abs(levels).max() == high
        assert np.abs(levels * step - x).max() <= step * (0.5 + 1e-4), case["name"]


def test_layernorm_is_the_formula_s() -> None:
    random = np.random.default_rng(1)
    for width, mean, spread in ((8, 0.0, 1.0), (48, 2.0, 0.3), (768, -1.0, 30.0)):
        x, beta = (random.normal(m, s, (5, width)).astype(np.float32) for m, s in ((mean, spread), (0, 1)))
        gamma = random.normal(1, 0.3, width).astype(np.float32)
        exact = torch.layer_norm(
            torch.tensor(x).double(), [width], torch.tensor(gamma).double(), torch.tensor(beta[0]).double(), 1e-6
        )
        found = layernorm(x, gamma, beta[0], np.float32(1e-6))
        assert np.abs(found - exact.numpy()).max() < 1e-5


def test_softmax_is_the_formula_s() -> None:
    x = np.linspace(-124.9, 0, 100_000, dtype=np.float32)
    exact = np.exp2(x.astype(np.float64))
    assert (np.abs(power_of_two(x) - exact) / exact).max() < 1.1e-4
    assert power_of_two(np.float32([0]))[0] == 1 and 0 < power_of_two(np.float32([-1e30]))[0] < 1e-37
    scores = np.random.default_rng(2).normal(0, 4, (7, 200)).astype(np.float32)
    powers = power_of_two(scores - scores.max(1, keepdims=True))
    exact_softmax = torch.softmax(torch.tensor(scores).double() * np.log(2), 1).numpy()
    assert np.abs(powers / sum_lanes(powers) - exact_softmax).max() < 1e-4


@pytest.mark.parametrize("tanh", [False, True])
def test_gelu_is_the_formula_s(tanh: bool) -> None:
    x = np.concatenate([np.linspace(-12, 12, 200_001), [-1e30, -100, 100, 1e30]]).astype(np.float32)
    exact = torch.nn.functional.gelu(torch.tensor(x).double(), approximate="tanh" if tanh else "none").numpy()
    found = gelu(x, tanh=tanh)
    inner = np.abs(x) <= 12
    assert np.abs(found - exact)[inner].max() < 4e-4
    assert np.abs(found[~inner] / x[~inner] - (x[~inner] > 0)).max() < 1e-6


def test_a_linear_layer_is_the_formula_s() -> None:
    for case in (case for case in CASES if case["kernel"] == "linear"):
        given = {name: as_floats(values) for name, values in case["inputs"].items()}
        x = given["x"].reshape(4, -1)
        packed, columns = case["inputs"]["packed"], x.shape[1]
        row = len(packed) // OUTS
        whole = [int.from_bytes(bytes(packed[n * row : (n + 1) * row]), "little") for n in range(OUTS)]
        weight = np.array([[(code >> (BITS * k) & 63) - 32 for k in range(columns)] for code in whole])
        how, name = case["name"].split(", ")
        if name != "float":
            levels, step = OperandQuantizer(*given["numbers"].astype(np.float32)).quantize(x.astype(np.float32))
            x = levels * step
        y = torch.tensor((x @ weight.T) * given["scale"] + given["bias"])
        if how == "add":
            y = y + given["before"].reshape(4, -1)
        elif how != "store":
            y = torch.nn.functional.gelu(y, approximate="tanh" if how == "gelu_tanh" else "none")
        most = 4e-4 if how.startswith("gelu") else 1e-4 if name == "float" else 1e-5  # 16 bits of float inputs
        assert np.abs(y.numpy().ravel() - as_floats(case["outputs"]["y"])).max() < most, case["name"]
