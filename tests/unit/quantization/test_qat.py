"""Quantization-aware training: gradients as in LSQ, files that compute what was trained, tables, and refusals."""

import gzip
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from msgspec.structs import replace
from torch import nn

from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.models.weights.randomise import randomise
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import FILE, QuantizedModel, as_stored, load_quantized, write_quantized
from export.quantization.layers.modules import QuantConv2d, QuantLinear, integer_arithmetic
from export.quantization.layers.quantizers import Uniform
from export.quantization.recipes import Recipe, find_recipe, quantizing
from export.quantization.training.fake_quantize import (
    LearnedUniform,
    LearnedWeight,
    TrackedUniform,
    learned_scale,
    minmax_weight,
    quantize_ste,
)
from export.quantization.training.images import FashionImages
from export.quantization.training.qat import freeze_trained, tracking, trainable
from export.quantization.training.qat_training import FinetuneOptions, Finetuning, calibration_images, load_trained
from export.train import main

CPU = torch.device("cpu")
OPTIONS = FinetuneOptions(epochs=1.5, batch_size=8, lr=1e-3, weight_decay=0.01, smoothing=0.1, distillation=0.5, seed=0)
VIT = {"img_size": 28, "patch_size": 7, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 10}
NARROW = {"channels": [16, 16, 32, 32]}
RESNET = {**NARROW, "layers": [1, 1, 1, 1], "num_classes": 10}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a model wait for one another
    yield
    torch.set_num_threads(before)


def vit() -> nn.Module:
    return randomise(timm.create_model("vit_tiny_patch16_224", **VIT)).eval()


def resnet() -> nn.Module:
    return randomise(timm.create_model("resnet18", **RESNET)).eval()


def images(count: int) -> FashionImages:
    random = np.random.default_rng(0)
    return FashionImages(random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count, np.uint8))


def per_tensor() -> Recipe:
    """Return learned steps with one scale and a zero point per weight, which no named method has."""
    how = find_recipe("w4a4_lsq").quantization
    assert how is not None
    return quantizing(replace(how.method, weight_granularity="tensor", weight_symmetric=False), 4, 4)


def test_the_gradients_are_those_of_lsq() -> None:
    x = torch.tensor([-9.0, -0.2, 0.3, 0.7, 9.0], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    levels = quantize_ste(x, scale, torch.tensor(-4.0), torch.tensor(3.0))
    assert levels.tolist() == [-4, 0, 1, 1, 3]
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    (levels * scale * upstream).sum().backward()
    slopes = torch.tensor([-4.0, 0 + 0.4, 1 - 0.6, 1 - 1.4, 3.0])  # of each rounded value in the step, equation 3
    assert scale.grad is not None and scale.grad.item() == pytest.approx((slopes * upstream).sum().item(), abs=1e-5)
    assert x.grad is not None and x.grad.tolist() == [0, 2, 3, 4, 0]  # equation 5


def test_the_gradient_of_a_step_is_damped_and_relative() -> None:
    log_scale = torch.tensor(0.3).log().requires_grad_()
    scale = learned_scale(log_scale, 100, 7)
    assert scale.item() == pytest.approx(0.3)
    (5 * scale).backward()
    assert log_scale.grad is not None
    assert log_scale.grad.item() == pytest.approx(5 * 0.3 / (100 * 7) ** 0.5)


def test_learned_weights_start_at_lsqs_step_or_at_the_one_that_spans() -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(6, 5, 3, 3, generator=generator)
    value[2] = 0.0
    method = find_recipe("w4_lsq").quantization.method  # type: ignore[union-attr]
    for bits in (3, 8):
        weight = LearnedWeight(value, minmax_weight(value, bits, method), shared=False)
        greatest = 2 ** (bits - 1) - 1
        mean = 2 * value.flatten(1).abs().mean(1) / greatest**0.5
        spanned = value.flatten(1).abs().amax(1) / greatest
        expected = torch.minimum(mean, spanned)
        others = torch.tensor([0, 1, 3, 4, 5])
        assert torch.allclose(weight.scale[others], expected[others])
        assert (weight.quantized[2] == 0).all() and weight.scale[2] > 0


def test_a_tracked_range_widens_in_training_alone() -> None:
    quantizer = TrackedUniform(torch.tensor([-1.0, 2.0]), 4, symmetric=False).eval()
    module = nn.Sequential(quantizer)
    before = quantizer.frozen().to_json()
    module(torch.tensor([-3.0, 1.0]))
    assert quantizer.frozen().to_json() == before
    with tracking(module):
        module(torch.tensor([-3.0, 1.0]))
    assert not quantizer.training
    assert quantizer.min_max.tolist() == [-3, 2]
    assert quantizer.frozen().to_json() == {
        "kind": "uniform",
        "bits": 4,
        "signed": False,
        "scale": pytest.approx(1 / 3),
        "zero_point": 9.0,
    }


@pytest.mark.parametrize(
    ("make", "recipe"),
    [
        (vit, find_recipe("w4a4_lsq")),
        (vit, find_recipe("w3a8_affine_qat")),
        (vit, find_recipe("w5_lsq")),
        (vit, per_tensor()),
        pytest.param(resnet, find_recipe("w4a4_lsq"), marks=pytest.mark.slow),
        pytest.param(resnet, find_recipe("w4a4_affine_qat"), marks=pytest.mark.slow),
    ],
    ids=["lsq", "affine_qat", "weights", "per_tensor", "resnet", "resnet_affine_qat"],
)
def test_what_is_frozen_computes_what_was_trained_bit_for_bit(
    make: Callable[[], nn.Module], recipe: Recipe, tmp_path: Path
) -> None:
    data = images(32)
    training = Finetuning(make(), recipe, replace(OPTIONS, epochs=0.5), data, CPU)
    training.train_steps(2)
    module = training.module
    quantized = ("log_scale", "value", "scale", "zero_point", "min_max")
    with torch.no_grad():
        for name, value in module.state_dict().items():  # the float rest, as the file will hold it
            if value.is_floating_point() and name.rpartition(".")[2] not in quantized:
                value.copy_(as_stored(value).float())
    frozen = freeze_trained(module)
    pixels = calibration_images(data, 4, 1)
    with torch.no_grad():
        trained = module(pixels)
        assert torch.equal(frozen(pixels), trained)
        with integer_arithmetic(frozen):
            assert torch.allclose(frozen(pixels), trained, rtol=1e-3, atol=1e-3)
    spec = _spec(make)
    write_quantized(QuantizedModel(spec, recipe, frozen), tmp_path / FILE)
    with torch.no_grad():
        assert torch.equal(load_quantized(tmp_path / FILE).module(pixels), trained)
    write_quantized(load_quantized(tmp_path / FILE), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / FILE).read_bytes()
    assert all(parameter.grad_fn is None and not parameter.requires_grad for parameter in frozen.parameters())


def _spec(make: Callable[[], nn.Module]) -> ModelSpec:
    spec, _ = load_trained("fashion", None)
    if make is vit:
        return replace(spec, arguments=VIT)
    return replace(spec, timm_name="resnet18", arguments=RESNET)


@pytest.mark.parametrize("make", [vit, resnet])
def test_everything_is_trained_but_folded_batch_norm(make: Callable[[], nn.Module]) -> None:
    data = images(32)
    module = trainable(make(), find_recipe("w4a4_lsq"), calibration_images(data, 32, 0))
    module(calibration_images(data, 4, 1)).logsumexp(1).sum().backward()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert not layer.training and not layer.weight.requires_grad and layer.eps == 0
    wanted = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    silent = [name for name, parameter in wanted.items() if parameter.grad is None or not parameter.grad.abs().sum()]
    assert silent == []
    assert any(name.endswith("input.log_scale") for name in wanted)
    assert sum(isinstance(layer, QuantLinear | QuantConv2d) for layer in module.modules()) == len(
        [name for name in wanted if name.endswith("weight.value")]
    )


@pytest.mark.slow
def test_a_deep_resnet_can_be_trained() -> None:
    module = randomise(timm.create_model("resnet50", num_classes=10, **NARROW)).eval()
    training = Finetuning(module, find_recipe("w4a4_lsq"), replace(OPTIONS, epochs=0.25), images(32), CPU)
    assert np.isfinite(training.train_steps(1))
    assert freeze_trained(training.module)(calibration_images(images(32), 1, 0)).isfinite().all()


@pytest.mark.slow
def test_training_learns_and_a_resumed_run_repeats_an_uninterrupted_one(tmp_path: Path) -> None:
    data, recipe, checkpoint = images(32), find_recipe("w4a4_lsq"), tmp_path / "checkpoint.pt"
    options = replace(OPTIONS, epochs=10, distillation=0.0)
    whole = Finetuning(vit(), recipe, options, data, CPU)
    assert whole.steps == 40
    start = {name: value.clone() for name, value in whole.module.state_dict().items()}
    first = whole.train_steps(5)
    whole.save(checkpoint, "same")
    rest = whole.train_steps(100)
    assert whole.step == 40 and rest < first
    moved = [name for name, value in whole.module.state_dict().items() if not torch.equal(value, start[name])]
    assert any(name.endswith("weight.log_scale") for name in moved)
    assert any(name.endswith("product_av.left.log_scale") for name in moved)

    resumed = Finetuning(vit(), recipe, options, data, CPU)
    resumed.load(checkpoint, "same")
    assert resumed.step == 5 and resumed.train_steps(100) == rest
    expected, found = whole.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    with pytest.raises(RequestError, match="made with other options"):
        resumed.load(checkpoint, "other")


def test_learned_quantizers_start_where_they_err_least() -> None:
    data = images(32)
    pixels = calibration_images(data, 32, 0)
    module = trainable(vit(), find_recipe("w8a4_lsq"), pixels)
    quantizers = [layer for layer in module.modules() if isinstance(layer, LearnedUniform)]
    assert len(quantizers) == 2 * 4 + 2 * 4 + 1  # blocks × (layers + operands) + head
    softmax = module.get_submodule("blocks.0.attn.product_av").left
    assert isinstance(softmax, LearnedUniform) and softmax.frozen().to_json()["zero_point"] == 0
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    start = Uniform(4, values.abs().max() / 7)
    assert torch.equal(LearnedUniform(start)(values).detach(), start(values))


def test_what_does_not_fit_is_refused() -> None:
    pixels = calibration_images(images(32), 8, 0)
    with pytest.raises(RequestError, match=r"training method.*\n.*export\.train --qat w4a4_lsq"):
        calibrate(vit(), find_recipe("w4a4_lsq"), pixels)
    for name in ("w4a4_minmax", "u8"):
        with pytest.raises(RequestError, match="not a training recipe"):
            trainable(vit(), find_recipe(name), pixels)
    how = find_recipe("w4a4_lsq").quantization
    assert how is not None
    with pytest.raises(RequestError, match="not from search"):
        trainable(vit(), quantizing(replace(how.method, activations="search"), 4, 4), pixels)
    with pytest.raises(RequestError, match="not hessian"):
        chosen = replace(how.calibration, metric="hessian")
        trainable(vit(), quantizing(how.method, 4, 4, calibration=chosen), pixels)
    with pytest.raises(RequestError, match="calibration needs 33 images, but there are 32"):
        calibration_images(images(32), 33, 0)
    with pytest.raises(RequestError, match="is less than one batch"):
        Finetuning(vit(), find_recipe("w4a4_lsq"), replace(OPTIONS, epochs=0.01), images(32), CPU)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--qat w4a4_lsq --phases 1:0", "--phases does not apply with --qat"),
        ("--qat w4a4_lsq --install", "--install does not apply with --qat"),
        ("--epochs 2", "--epochs does not apply without --qat"),
        ("--ptq affine", "--ptq does not apply without --qat"),
        ("--model resnet18 --install", "resnet18 is not embedded"),
        ("--qat w4a4_minmax", "w4a4_minmax: not a training recipe"),
        ("--qat u8", "u8: not a training recipe"),
        ("--qat w4a4_lsq --ptq lsq", "not a calibration method"),
        ("--qat w4a4_lsq --resume --out nowhere", "nothing to resume"),
        ("--model resnet18 --phases 1:0.5", "has no patches to drop"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    arguments: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_data(tmp_path / "data", 32)
    with pytest.raises(RequestError, match=words):
        main([*arguments.split(), "--data", str(folder)])


def write_data(folder: Path, count: int) -> Path:
    folder.mkdir()
    data = images(count)
    for split in ("train", "t10k"):
        for kind, values in (("images-idx3", data.images), ("labels-idx1", data.labels)):
            head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return folder


@pytest.mark.slow
def test_a_resnet_from_float_to_the_table(
    tiny_models: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_models("resnet18", ("resnet18", RESNET), classes=10)
    monkeypatch.chdir(tmp_path)
    data = ["--model", "resnet18", "--data", str(write_data(tmp_path / "data", 32)), "--batch-size", "16"]
    qat = [*data, "--qat", "w8a8_lsq,w8a8_affine_qat", "--ptq", "affine,minmax", "--epochs", "0.5"]
    with pytest.raises(RequestError, match="there are no float weights"):
        main(qat)
    main([*data, "--phases", "1:0"])
    main(qat)
    out = tmp_path / ".cache/train/resnet18"
    table = json.loads((out / "table.json").read_text())
    assert [(row["kind"], row["recipe"]) for row in table["rows"]] == [
        ("float", "f32"),
        ("ptq", "w8a8_affine"),
        ("ptq", "w8a8_minmax"),
        ("qat", "w8a8_lsq"),
        ("qat", "w8a8_affine_qat"),
    ]
    for row in table["rows"]:
        assert row["n"] == 32 and row["low"] <= row["top1"] <= row["high"]
        assert row["steps"] == (1 if row["kind"] == "qat" else 0)
    model = load_quantized(out / "w8a8_lsq" / FILE)
    assert model.recipe == find_recipe("w8a8_lsq") and model.spec.preprocess.size == 28
    assert model.module(torch.zeros(1, 3, 28, 28)).shape == (1, 10)
    assert not list(out.glob("*/checkpoint.pt"))

    before = {path: path.stat().st_mtime_ns for path in out.glob(f"*/{FILE}")}
    (out / "w8a8_lsq" / FILE).unlink()
    main([*qat, "--resume"])
    again = {path: path.stat().st_mtime_ns for path in out.glob(f"*/{FILE}")}
    assert {path.parent.name for path in again if again[path] != before[path]} == {"w8a8_lsq"}
    assert json.loads((out / "table.json").read_text())["rows"] == table["rows"]
