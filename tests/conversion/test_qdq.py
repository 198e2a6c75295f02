"""ONNX with a recipe's own integers: its bytes, its agreement, and what ONNX Runtime makes of it."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from integer_models import float_onnx, quantized
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from export.conversion.coverage import QuantizationCoverage
from export.conversion.onnx.export import MODEL
from export.conversion.onnx.quantized import check_integers, to_qdq
from export.core.errors import ConversionError
from export.core.records import Verification
from export.quantization.layers.modules import QuantLinear, Weight
from export.quantization.layers.quantizers import Dynamic, Uniform

pytestmark = pytest.mark.conversion


def made(model: str, recipe: str, folder: Path) -> tuple[nn.Module, Verification, QuantizationCoverage, Path]:
    module, inputs = quantized(model, recipe, folder)
    verification, coverage = to_qdq(module, float_onnx(module, inputs, folder / "float"), inputs, folder, name=model)
    return module, verification, coverage, folder / MODEL


def initializers(path: Path) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}


def fused(path: Path, folder: Path) -> Counter[str]:
    """The operations that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("recipe", ["w3_rtn", "w4_rtn"])
def test_few_bits_are_held_in_4_and_multiplied_as_floats(recipe: str, tmp_path: Path) -> None:
    module, verification, coverage, path = made("fashion", recipe, tmp_path)
    assert coverage.compute_dtype == "float32" and not coverage.activations
    assert verification.sqnr_db is not None and verification.sqnr_db >= 60
    stored = initializers(path)
    for name, layer in module.named_modules():
        if not isinstance(layer, QuantLinear):
            continue
        assert coverage.weights[name] == "uint4"
        rows, columns = layer.weight.quantized.shape
        packed = stored[f"{name}.weight_blocks"].reshape(rows, -1)
        codes = np.empty((rows, 2 * packed.shape[1]), np.uint8)
        codes[:, ::2], codes[:, 1::2] = packed % 16, packed // 16
        np.testing.assert_array_equal(codes[:, :columns], layer.weight.quantized.numpy() + 8)
        assert (codes[:, columns:] == 8).all(), "padding that is not zero"
        scales = stored[f"{name}.scale"].reshape(rows, -1)
        np.testing.assert_array_equal(scales, np.broadcast_to(layer.weight.scale.numpy()[:, None], scales.shape))
    assert path.stat().st_size < 0.15 * (tmp_path / "float" / MODEL).stat().st_size


@pytest.mark.parametrize("recipe", ["w5_rtn", "w8_rtn", "w8a6_dynamic"])
def test_integers_of_weights_alone_become_floats_when_loaded(recipe: str, tmp_path: Path) -> None:
    module, verification, coverage, path = made("fashion", recipe, tmp_path)
    assert coverage.compute_dtype == "float32" and set(coverage.activations.values()) <= {"float32"}
    assert len(coverage.activations) == (0 if recipe.endswith("rtn") else 37)
    assert verification.sqnr_db is not None and verification.sqnr_db >= 60
    stored = initializers(path)
    for name in coverage.weights:
        weight = module.get_submodule(name).weight
        integers = stored.get(f"{name}.weight")
        if integers is None:
            integers = stored[f"{name}.weight_transposed"].T
        assert integers.dtype == np.int8
        np.testing.assert_array_equal(integers, weight.quantized.numpy())
        np.testing.assert_array_equal(stored[f"{name}.scale"].ravel(), weight.scale.numpy())
    # ONNX Runtime would compute them at every run, or make products of them that round activations.
    assert not {"DequantizeLinear", "MatMulNBits"} & set(fused(path, tmp_path))


@pytest.mark.parametrize("recipe", ["w8_dynamic", "w4a8_quarot"])
def test_activations_rounded_at_run_time_are_multiplied_as_integers(recipe: str, tmp_path: Path) -> None:
    module, verification, coverage, path = made("fashion", recipe, tmp_path)
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, QuantLinear)}
    assert coverage.compute_dtype == "int8"
    assert {name for name, kind in coverage.activations.items() if kind == "runtime_tensor"} == set(linear)
    assert {kind for name, kind in coverage.activations.items() if name not in linear} == {"float32"}
    assert verification.sqnr_db is not None and verification.sqnr_db >= 30
    stored = initializers(path)
    for name, layer in linear.items():
        codes, points = stored[f"{name}.weight_transposed"], stored[f"{name}.zero_point"]
        assert codes.dtype == np.uint8 and coverage.weights[name] == "uint8"
        np.testing.assert_array_equal(codes.T.astype(int) - points[:, None].astype(int), layer.weight.quantized.numpy())
        np.testing.assert_array_equal(stored[f"{name}.scale"], layer.weight.scale.numpy())
    ran = fused(path, tmp_path)
    assert ran["DynamicQuantizeMatMul"] == len(linear) and not {"Gemm", "MatMulInteger"} & set(ran)


def test_layers_of_one_input_share_its_rounding(tmp_path: Path) -> None:
    def linear(seed: int) -> QuantLinear:
        levels = torch.randint(-128, 128, (4, 48), generator=torch.Generator().manual_seed(seed)).float()
        return QuantLinear(Weight(8, levels, torch.linspace(0.01, 0.02, 4)), torch.arange(4.0), Dynamic(8))

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = linear(1), linear(2)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.reshape(-1, 4, 48)
            return torch.flatten(self.first(tokens) + self.second(tokens), 1)

    images = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype(np.float32)
    module = Pair().eval()
    verification, _ = to_qdq(module, float_onnx(module, images, tmp_path / "float"), images, tmp_path, name="pair")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / MODEL)).graph.node)
    assert kinds["DynamicQuantizeLinear"] == 1 and kinds["MatMulInteger"] == 2
    assert verification.sqnr_db is not None and verification.sqnr_db >= 30


def test_changed_integers_are_found(tmp_path: Path) -> None:
    module, _, _, path = made("vit", "w8_dynamic", tmp_path)
    model = onnx.load(str(path))
    (codes,) = (one for one in model.graph.initializer if one.name == "blocks.0.mlp.fc1.weight_transposed")
    codes.raw_data = bytes([codes.raw_data[0] ^ 1]) + codes.raw_data[1:]
    onnx.save(model, str(path))
    with pytest.raises(
        ConversionError, match=r"integers of blocks\.0\.mlp\.fc1 differ from those of the quantized model"
    ):
        check_integers(path, module)


@pytest.mark.parametrize("recipe", ["w8a8_minmax", "w8a8_affine", "w6a6_minmax", "w4a8_minmax"])
def test_rounded_activations_have_the_recipe_s_scales_and_integers_are_multiplied(recipe: str, tmp_path: Path) -> None:
    module, verification, coverage, path = made("fashion", recipe, tmp_path)
    assert coverage.compute_dtype == "int8" and set(coverage.activations.values()) == {"recipe"}
    assert verification.sqnr_db is not None and verification.sqnr_db >= 30
    stored = initializers(path)
    for name, layer in module.named_modules():
        if not isinstance(layer, QuantLinear):
            continue
        weight, input = layer.weight, layer.input
        assert isinstance(input, Uniform)
        integers = stored.get(f"{name}.weight")
        if integers is None:
            integers = stored[f"{name}.weight_transposed"].T
        points = stored[f"{name}.zero_point"].astype(int)
        assert integers.dtype == np.uint8
        np.testing.assert_array_equal(integers - points[:, None], weight.quantized.numpy())
        np.testing.assert_array_equal(stored[f"{name}.scale"], weight.scale.numpy())
        assert stored[f"{name}.input.scale"] == input.scale.numpy()
        assert stored[f"{name}.input.zero_point"] == input.zero_point.item()
        if input.bits < 8:
            np.testing.assert_allclose(
                [stored[f"{name}.input.low"], stored[f"{name}.input.high"]],
                [bound.item() * input.scale.item() for bound in input.bounds()],
            )
    ran = fused(path, tmp_path)
    assert ran["MatMulIntegerToFloat"] + ran["QLinearMatMul"] == 36 and ran["QGemm"] == 1 and not ran["Gemm"]


def test_what_onnx_cannot_round_stays_float_and_is_recorded(tmp_path: Path) -> None:
    module, verification, coverage, _ = made("vit", "w8a8_ptq4vit", tmp_path)
    kept = {name for name, kind in coverage.activations.items() if kind == "float32"}
    assert {name.rpartition(".")[2] for name in kept} == {"product_qk", "product_av", "fc2"}
    assert coverage.activations["blocks.0.attn.qkv"] == "recipe" and coverage.compute_dtype == "int8"
    assert set(coverage.weights) == {name for name, layer in module.named_modules() if hasattr(layer, "geometry")} | {
        name for name, layer in module.named_modules() if isinstance(layer, QuantLinear)
    }
    assert verification.sqnr_db is not None and verification.sqnr_db >= 30


@pytest.mark.parametrize("model", ["swin", "resnet"])
@pytest.mark.parametrize("recipe", ["w4_rtn", "w8a8_minmax"])
def test_other_families(model: str, recipe: str, tmp_path: Path) -> None:
    module, _, coverage, _ = made(model, recipe, tmp_path)
    assert set(coverage.weights) == {
        name for name, layer in module.named_modules() if hasattr(layer, "weight") and isinstance(layer.weight, Weight)
    }
    assert set(coverage.activations.values()) == (set() if recipe == "w4_rtn" else {"recipe"})


def test_sums_of_the_largest_products_do_not_saturate(tmp_path: Path) -> None:
    size = 3 * 8 * 8
    weight = Weight(8, torch.full((4, size), 127.0), torch.full((4,), 0.01))
    input = Uniform(8, torch.tensor(0.1), torch.tensor(0.0))
    module = nn.Sequential(nn.Flatten(), QuantLinear(weight, torch.arange(4.0), input)).eval()
    images = np.full((1, 3, 8, 8), 25.5, np.float32)
    verification, _ = to_qdq(module, float_onnx(module, images, tmp_path / "float"), images, tmp_path, name="ones")
    assert verification.max_abs_diff < 0.01  # of a sum of 6218


def test_the_float_model_of_other_integers_is_refused(tmp_path: Path) -> None:
    module, inputs = quantized("vit", "w8_rtn", tmp_path)
    other, _ = quantized("vit", "w7_rtn", tmp_path)
    path = float_onnx(other, inputs, tmp_path / "float")
    with pytest.raises(ConversionError, match=r"patch_embed\.proj: the ONNX model's weight is not that"):
        to_qdq(module, path, inputs, tmp_path, name="mixed")
