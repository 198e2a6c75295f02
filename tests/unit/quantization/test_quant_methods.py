"""Every method on tiny members of every family: what it promises, and what reloads from the file."""

import copy
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from tiny import TINY, searching_less, sqnr, tiny
from torch import nn

from export.core.errors import ArtifactError, ConversionError, RequestError
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.folds.equalization import equalize, find_pairs, layernorm_factors, smooth_factors
from export.quantization.calibration.gptq import gptq, ridge_update
from export.quantization.calibration.observers import observe
from export.quantization.calibration.prepare import assign_bits, prepare
from export.quantization.calibration.qparams import CalibrationCheckpoint
from export.quantization.calibration.search.scale_search import input_hessian, search_channel_scales
from export.quantization.evaluation.baselines import BASELINES
from export.quantization.evaluation.probe import linear_probe, nearest_neighbours, split
from export.quantization.integer_file import (
    QuantizedModel,
    load_quantized,
    read_tensors,
    write_quantized,
    write_safetensors,
)
from export.quantization.layers.accumulation import accumulation_depth
from export.quantization.layers.discovery import PRODUCTS, decompose_attention, find_quantizable_layers, fold_batch_norm
from export.quantization.layers.modules import Weight, integer_arithmetic
from export.quantization.layers.rounding import absmax_scale, quantize_symmetric
from export.quantization.methods import METHODS, LayerRule
from export.quantization.recipes import find_recipe, quantizing

CALIBRATED = [name for name, method in METHODS.items() if not method.trains]
TRANSFORMERS = ("vit", "distilled", "swin")


def recipe_of(method: str, weight: int = 8, activation: int = 8) -> str:
    return f"w{weight}_{method}" if METHODS[method].activations == "none" else f"w{weight}a{activation}_{method}"


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("method", CALIBRATED)
def test_file_holds_the_calibrated_model(family: str, method: str, tmp_path: Path) -> None:
    spec, module, images = tiny(family)
    images, recipe = images[:8], searching_less(find_recipe(recipe_of(method)))
    if family in {"none": (), "rotate": ("swin", "resnet")}.get(METHODS[method].fold, ("resnet",)):
        with pytest.raises(ConversionError, match=r"nothing to fold|cannot be rotated"):
            calibrate(module, recipe, images)
        return
    quantized = calibrate(module, recipe, images)
    path = tmp_path / "model.safetensors"
    write_quantized(QuantizedModel(spec, recipe, quantized), path)
    loaded = load_quantized(path)
    assert (loaded.spec, loaded.recipe) == (spec, recipe)
    with torch.no_grad():
        expected, found = quantized(images), loaded.module(images)
        with integer_arithmetic(loaded.module):
            integers = loaded.module(images)
        reference = module(images)
    assert torch.equal(found, expected)
    assert sqnr(expected, integers) > 45  # a rounding that falls the other way is one step of one activation
    assert sqnr(reference, expected) > (8 if method in ("affine", "ptq4vit_published") else 15)


@pytest.mark.parametrize("method", [name for name in CALIBRATED if METHODS[name].weight_only])
def test_fewer_bits_keep_less_and_take_less(method: str, tmp_path: Path) -> None:
    spec, module, images = tiny("vit")
    kept, sizes = [], []
    for bits in (3, 5, 8):
        recipe = searching_less(find_recipe(f"w{bits}_{method}"))
        quantized = calibrate(module, recipe, images)
        write_quantized(QuantizedModel(spec, recipe, quantized), tmp_path / "m.safetensors")
        sizes.append((tmp_path / "m.safetensors").stat().st_size)
        with torch.no_grad():
            kept.append(sqnr(module(images), quantized(images)))
    assert kept == sorted(kept) and sizes == sorted(sizes)


def test_file_is_the_sum_of_its_tensors(tmp_path: Path) -> None:
    spec, module, images = tiny("vit")
    path = tmp_path / "model.safetensors"
    recipe = find_recipe("w5_rtn")
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), path)
    blob = path.read_bytes()
    (length,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8 : 8 + length])
    ends = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
    assert sum(end - begin for begin, end in ends) == len(blob) - 8 - length
    layers = json.loads(header["__metadata__"]["layers"])
    for name, layer in layers.items():
        if layer["kind"] != "product":
            rows, columns = layer["shape"][0], int(np.prod(layer["shape"][1:]))
            assert header[f"{name}.weight"]["shape"] == [rows, (columns * 5 + 7) // 8]
    rest = [entry["dtype"] for name, entry in header.items() if name.endswith((".bias", "pos_embed", "norm.weight"))]
    assert set(rest) == {"F16"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "null"}, "the top level is null"),
        ({"model": "{"}, "not JSON"),
        ({"layers": "[]"}, "the top level is a list of 0; allowed: an object"),
        ({"layers": '{"head": 8}'}, '["head"] is 8; allowed: an object'),
        ({"recipe": None}, "lacks 'recipe'"),
    ],
)
def test_a_header_with_a_mistake_is_refused(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    spec, module, images = tiny("vit")
    path, recipe = tmp_path / "model.safetensors", find_recipe("w4_rtn")
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), path)
    header, tensors = read_tensors(path)
    changed = {**header, **changes}
    write_safetensors(path, tensors, {name: text for name, text in changed.items() if text is not None})
    with pytest.raises(ArtifactError) as refused:
        load_quantized(path)
    assert str(path) in str(refused.value) and words in str(refused.value) and "quantize again" in str(refused.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    spec, module, images = tiny("vit")
    path = tmp_path / "model.safetensors"
    recipe = find_recipe("w4_rtn")
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), path)
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(ArtifactError, match="damaged"):
        load_quantized(path)
    path.write_bytes(blob[:-9])
    with pytest.raises(ArtifactError, match="truncated"):
        load_quantized(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, path)
    with pytest.raises(ArtifactError, match="not a quantized model"):
        load_quantized(path)


@pytest.mark.parametrize("family", TRANSFORMERS)
@pytest.mark.parametrize("kind", ["layernorm", "smooth"])
def test_folds_leave_the_float_model_as_it_is(family: str, kind: str) -> None:
    _, module, images = tiny(family)
    how = find_recipe("w8a8_minmax").quantization
    assert how is not None
    copied = prepare(module, how, images).module
    pairs = find_pairs(copied)
    assert len(pairs) >= 2
    for pair in pairs:
        rows = torch.randn(200, pair.linear.in_features) * torch.logspace(-2, 1, pair.linear.in_features) + 0.3
        smooth = (smooth_factors(rows, [pair.linear.weight], 0.5),)
        equalize(pair, *(layernorm_factors(rows, 8) if kind == "layernorm" else smooth))
    with torch.no_grad():
        reference = module(images)
        assert (copied(images) - reference).abs().max() < 1e-5 * reference.abs().max().clamp_min(1) * 10


def test_a_layernorm_fold_gives_all_channels_one_range() -> None:
    rows = (torch.randn(500, 8) + torch.linspace(-1, 1, 8)) * torch.logspace(-1, 1, 8)
    ratio, shift = layernorm_factors(rows, 8)
    folded = rows / ratio - shift
    spread = folded.amax(0) - folded.amin(0)
    assert (spread.max() / spread.min()) < 1.01


def test_batch_norm_folds_exactly() -> None:
    _, module, images = tiny("resnet")
    how = find_recipe("w8a8_minmax").quantization
    assert how is not None
    prepared = prepare(module, how, images).module
    norms = [layer for layer in prepared.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms and all(norm.eps == 0 for norm in norms)
    with torch.no_grad():
        assert torch.allclose(prepared(images), module(images), atol=1e-5)


def test_the_fisher_gradient_is_far_above_noise_and_the_published_one_is_noise() -> None:
    _, module, images = tiny("vit")
    how = find_recipe("w8a8_ptq4vit").quantization
    assert how is not None
    prepared = prepare(module, how, images)
    sizes = {}
    for kind in ("fisher", "published"):
        seen = observe(prepared.module, prepared.layers, images, gradient=kind, seed=0)
        sizes[kind] = [float(one.gradient.square().mean().sqrt()) for one in seen.values() if one.gradient is not None]
        assert len(sizes[kind]) == len(prepared.layers)
    assert min(sizes["fisher"]) > 1e-5
    assert max(sizes["published"]) < 1e-6


@pytest.mark.parametrize("metric", ["hessian", "cosine", "mse", "l1"])
def test_every_metric_chooses_scales_of_its_own(metric: str) -> None:
    _, module, images = tiny("vit")
    plain = find_recipe("w4a6_ptq4vit")
    assert plain.quantization is not None
    calibration = replace(plain.quantization.calibration, metric=metric, candidates=20)
    recipe = replace(plain, quantization=replace(plain.quantization, calibration=calibration))
    found = calibrate(module, recipe, images)
    worst = quantizing(METHODS["minmax"], 4, 6)
    with torch.no_grad():
        reference = module(images)
        assert sqnr(reference, found(images)) > sqnr(reference, calibrate(module, worst, images)(images)) - 3


def test_observed_batches_stay_in_order() -> None:
    _, module, images = tiny("vit")
    how = find_recipe("w8a8_ptq4vit").quantization
    assert how is not None
    prepared = prepare(module, how, images)
    head = [layer for layer in prepared.layers if layer.role == "head"]
    seen = observe(prepared.module, head, images, gradient="fisher", seed=0)["head"]
    with torch.no_grad():
        assert torch.allclose(seen.output, module(images), atol=1e-5)
    assert seen.gradient is not None and torch.allclose(seen.gradient.sum(1), torch.zeros(16), atol=1e-5)
    drawn = seen.gradient.argmin(1)  # softmax minus one at the drawn label
    assert ((seen.gradient - seen.output.softmax(1)).abs().gather(1, drawn[:, None]) - 1).abs().max() < 1e-4


def test_searched_scales_never_cost_more_than_the_full_range() -> None:
    torch.manual_seed(0)
    weight, rows = torch.randn(12, 32) ** 3, torch.randn(400, 32)
    layer = nn.Linear(32, 12)
    hessian = input_hessian(layer, rows, None)

    def cost(scale: torch.Tensor, bits: int) -> torch.Tensor:
        error = quantize_symmetric(weight, scale, bits).dequantized() - weight
        return ((error.double() @ hessian) * error).sum(1)

    full = weight.abs().amax(1)
    before = None
    for bits in range(3, 9):
        scale = search_channel_scales(weight, hessian, bits, [0.3 + index / 100 for index in range(91)])
        assert (cost(scale, bits) <= cost(full / (2 ** (bits - 1) - 0.5), bits) * (1 + 1e-4)).all()
        assert before is None or (cost(scale, bits) <= before * (1 + 1e-4)).all()  # more bits are never worse
        before = cost(scale, bits)


@pytest.mark.parametrize("shape", [(24, 70), (24, 3, 4, 4)], ids=["linear", "patches"])
def test_gptq_reaches_the_accumulation_depth_at_little_cost(shape: tuple[int, ...]) -> None:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    weight[3] = 0
    rows = torch.randn(300, weight[0].numel(), generator=torch.Generator().manual_seed(2)).double()
    hessian, scale = rows.T @ rows, absmax_scale(weight, 8, "channel")

    def error(found: Weight) -> float:
        change = (found.dequantized() - weight).flatten(1).double()
        return float(((change @ hessian) * change).sum())

    without = gptq(weight, hessian, scale, 8)
    assert accumulation_depth(without.quantized) == 0
    for depth, worse in ((1, 2), (2, 4), (4, 9), (8, 30)):
        found = gptq(weight, hessian, scale, 8, accumulation_depth=depth)
        assert accumulation_depth(found.quantized) == depth
        assert (found.scale >= scale).all() and found.quantized.abs().max() <= 128
        assert error(found) < worse * error(without)
    few = gptq(weight, hessian, absmax_scale(weight, 4, "channel"), 4)
    assert torch.equal(few.quantized, gptq(weight, hessian, few.scale, 4, accumulation_depth=8).quantized), (
        "4 bits allow it as they are"
    )


def test_gptq_beats_rounding_to_nearest_on_what_it_minimizes() -> None:
    torch.manual_seed(0)
    weight = torch.randn(24, 100)
    rows = torch.randn(600, 40) @ torch.randn(40, 100)  # inputs that depend on each other
    hessian = input_hessian(nn.Linear(100, 24), rows, None)
    scale = absmax_scale(weight, 4, "channel")

    def cost(levels: torch.Tensor) -> float:
        return float(((levels * scale[:, None] - weight) @ rows.T).square().sum())

    found = gptq(weight, hessian, scale, 4)
    assert found.quantized.abs().max() <= 8
    assert cost(found.quantized) < 0.7 * cost(quantize_symmetric(weight, scale, 4).quantized)


def test_ridge_update_compensates_the_error_of_quantized_inputs() -> None:
    torch.manual_seed(0)
    rows, weight = torch.randn(500, 20), torch.randn(8, 20)
    rounded = (rows * 2).round() / 2
    target = rows @ weight.T
    change = ridge_update(rounded, target, weight, 1e-3)
    assert (target - rounded @ (weight + change).T).square().sum() < (target - rounded @ weight.T).square().sum()


def test_rules_choose_bits_and_must_match() -> None:
    _, module, images = tiny("vit")
    rules = (
        LayerRule(pattern="blocks.0.*", weight_bits=8, activation_bits=6),
        LayerRule(pattern="head", weight_bits=None, activation_bits=None),
    )
    recipe = quantizing(METHODS["minmax"], 4, 4, rules)
    assert recipe.quantization is not None
    layers = prepare(module, recipe.quantization, images).layers
    bits = assign_bits(layers, recipe.quantization)
    assert bits["blocks.0.attn.qkv"] == (8, 6) and bits["blocks.1.mlp.fc2"] == (4, 4)
    assert bits["patch_embed.proj"] == (4, None) and bits["head"] == (None, None)
    quantized = calibrate(module, recipe, images)
    assert type(quantized.get_submodule("head")) is nn.Linear
    unmatched = quantizing(METHODS["minmax"], 4, 4, (LayerRule(pattern="neck", weight_bits=8, activation_bits=8),))
    with pytest.raises(RequestError, match="no layer of the model matches the rule 'neck'"):
        calibrate(module, unmatched, images)


@pytest.mark.parametrize("family", TINY)
def test_every_family_is_found_whole(family: str) -> None:
    _, module, images = tiny(family)
    copied = copy.deepcopy(module)
    decompose_attention(copied)
    fold_batch_norm(copied, images[:1])
    layers = find_quantizable_layers(copied, images[:1])
    found = {layer.name for layer in layers if layer.role not in PRODUCTS}
    assert found == {name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    products = [layer.role for layer in layers if layer.role in PRODUCTS]
    attentions = sum(hasattr(layer, "fused_attn") for layer in module.modules())
    assert products == ["product_qk", "product_av"] * attentions
    assert (family == "resnet") == (attentions == 0)


def test_an_interrupted_calibration_is_resumed(tmp_path: Path) -> None:
    _, module, images = tiny("vit")
    recipe = find_recipe("w4a8_aqer")
    checkpoint = CalibrationCheckpoint(tmp_path / "calibration", "key")

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int, name: str) -> None:
        if done > total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        calibrate(module, recipe, images, tell=stop, checkpoint=checkpoint)
    assert checkpoint.path.exists() and CalibrationCheckpoint(checkpoint.path, "other").read(images.device).layers == {}
    seen: list[str] = []
    resumed = calibrate(module, recipe, images, tell=lambda done, total, name: seen.append(name), checkpoint=checkpoint)
    straight = calibrate(module, recipe, images)
    with torch.no_grad():
        assert torch.equal(resumed(images), straight(images))
    checkpoint.remove()
    assert not checkpoint.path.exists()


@pytest.mark.slow
def test_outliers_break_per_tensor_ranges_but_not_the_good_methods() -> None:
    """Two blocks of a DeiT-tiny with the outliers of trained ones: channels after LayerNorm, and a token."""
    import timm

    from export.models.weights.randomise import add_outliers, randomise

    module = randomise(timm.create_model("deit_tiny_patch16_224", img_size=64, depth=2, num_classes=50).eval(), seed=3)
    add_outliers(module.requires_grad_(False))
    images = torch.randn(64, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference = module(images[32:])
    kept = {}
    for name in ("w4a6_affine", "w4a6_repq", "w4a6_smoothquant", "w4a6_aqer", "w4_gptq", "w4a4_gptq", "w4a4_quarot"):
        quantized = calibrate(module, find_recipe(name), images[:32])
        with torch.no_grad():
            kept[name] = sqnr(reference, quantized(images[32:]))
    assert kept["w4a4_quarot"] > kept.pop("w4a4_gptq") + 5, kept
    assert kept.pop("w4a6_affine") < 11 and min(kept.values()) > 13, kept


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_quantize_linear_layers_only(name: str) -> None:
    _, module, images = tiny("vit")
    found = BASELINES[name](module)
    assert found.converted == {"Linear": 9} and found.kept_float == {"Conv2d": 1}
    with torch.no_grad():
        assert sqnr(module(images), found.module(images)) > 20


def test_probes_tell_separable_classes_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    rows = torch.randn(300, 16, generator=generator) + 3 * nn.functional.one_hot(labels, 16)
    train, test = split(labels)
    assert not set(train.tolist()) & set(test.tolist()) and len(train) + len(test) == 300
    for predict in (nearest_neighbours, linear_probe):
        assert (predict(rows[train], labels[train], rows[test]) == labels[test]).float().mean() > 0.9
    shuffled = labels[torch.randperm(300, generator=generator)]
    assert (nearest_neighbours(rows[train], shuffled[train], rows[test]) == shuffled[test]).float().mean() < 0.6
