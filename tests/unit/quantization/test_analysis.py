"""Analysis of layers: replayed blocks give what whole passes give, rankings are right, and bits keep to their limit."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pictures import make_classes
from tiny_catalog import CLASSES
from torch import nn

from export.core.errors import RequestError
from export.core.files import hash_json
from export.quantization.analysis.distributions import measure_distributions
from export.quantization.analysis.everything import LADDER, outputs_of_step
from export.quantization.analysis.layer_swap import ModelPair, SuffixRuns, quantized_pair, swapped
from export.quantization.analysis.mixed_precision import Limit, Mixture, as_rules, choose_bits
from export.quantization.analysis.records import SensitivityRow
from export.quantization.analysis.sensitivity import measure_cumulative, measure_sensitivity
from export.quantization.calibration.observers import block_of
from export.quantization.layers.packing import row_bytes
from export.quantization.recipes import find_recipe
from tests.tiny import TINY, sqnr, tiny


def pair_of(family: str, recipe: str) -> tuple[ModelPair, torch.Tensor, torch.Tensor]:
    _, module, images = tiny(family)
    pair = quantized_pair(module, find_recipe(recipe), images)
    with torch.no_grad():
        return pair, images, module(images)


@pytest.mark.parametrize("family", TINY)
def test_a_pass_from_the_block_of_a_layer_equals_a_whole_one(family: str) -> None:
    pair, images, _ = pair_of(family, "w4a8_minmax")
    runs = SuffixRuns(pair.float_module, pair.layers, images)
    for layer in (*pair.layers, pair.layers[0]):  # at last one that lies before what is replayed
        version = pair.version(layer, pair.kinds(layer)[0])
        with swapped(pair.float_module, {layer.name: version}), torch.no_grad():
            expected = pair.float_module(images)
        assert torch.equal(runs.outputs(layer.name, version), expected), layer.name


def measured(pair: ModelPair, images: torch.Tensor, reference: torch.Tensor) -> list[SensitivityRow]:
    rows: list[SensitivityRow] = []
    measure_sensitivity(pair, images, reference, None, features=False, key="key", earlier={}, keep=rows.append)
    return rows


def test_the_layer_with_the_fewest_bits_is_the_most_sensitive() -> None:
    _, module, images = tiny("vit")
    recipe = find_recipe("w8a8_minmax")
    assert recipe.quantization is not None
    from msgspec.structs import replace

    from export.quantization.methods import LayerRule

    rules = (LayerRule(pattern="blocks.1.mlp.fc1", weight_bits=3, activation_bits=8),)
    pair = quantized_pair(module, replace(recipe, quantization=replace(recipe.quantization, rules=rules)), images)
    with torch.no_grad():
        reference = module(images)
    rows = measured(pair, images, reference)
    worst = min(rows, key=lambda row: row.sqnr_db)
    assert worst.layer == "blocks.1.mlp.fc1" and worst.tensors in ("both", "weights")
    by_kind = {row.tensors: row for row in rows if row.layer == "blocks.1.mlp.fc1"}
    assert by_kind["activations"].sqnr_db > by_kind["weights"].sqnr_db + 10
    assert by_kind["weights"].own_sqnr_db < 25 < by_kind["activations"].own_sqnr_db
    assert {row.layer for row in rows if row.tensors == "activations"} >= {"blocks.0.attn.product_qk", "head"}


def test_rows_that_are_there_are_not_measured_again() -> None:
    pair, images, reference = pair_of("vit", "w4_rtn")
    rows = measured(pair, images, reference)
    planted = {row.key: row for row in rows[:1]}
    key = hash_json(["key", rows[0].layer, rows[0].tensors])
    assert rows[0].key == key and rows[0].sqnr_db < 100
    from msgspec.structs import replace

    planted[key] = replace(rows[0], sqnr_db=123.0)
    again: list[SensitivityRow] = []
    measure_sensitivity(pair, images, reference, None, features=False, key="key", earlier=planted, keep=again.append)
    assert again[0].sqnr_db == 123.0 and again[1:] == rows[1:]


def test_the_error_of_the_last_layer_is_that_of_the_outputs() -> None:
    pair, images, reference = pair_of("vit", "w4a8_gptq")
    rows = measure_cumulative(pair, images)
    with torch.no_grad():
        expected = sqnr(reference, pair.quantized(images))
    assert [row.layer for row in rows] == [layer.name for layer in pair.layers]
    assert rows[-1].layer == "head" and abs(rows[-1].sqnr_db - expected) < 0.01


def test_outliers_are_named_by_channel_and_token() -> None:
    _, module, images = tiny("vit")
    changed = copy.deepcopy(module)
    with torch.no_grad():
        changed.blocks[0].norm1.weight[5] *= 100
        changed.blocks[1].attn.qkv.weight[7] *= 200
    pair = quantized_pair(changed, find_recipe("w8a8_minmax"), images)
    rows = {(row.layer, row.operand): row for row in measure_distributions(pair.float_module, pair.layers, images)}
    assert "channel" in rows["blocks.0.attn.qkv", "input"].warning
    assert "channel" in rows["blocks.1.attn.qkv", "weight"].warning
    assert rows["blocks.0.attn.proj", "weight"].warning == ""
    for row in rows.values():
        assert sum(row.histogram) > 0 and row.low <= row.high


def test_everything_quantized_fails_where_a_token_has_outliers_and_less_of_it_does_not() -> None:
    _, module, images = tiny("vit")
    changed = copy.deepcopy(module)
    with torch.no_grad():
        changed.pos_embed[0, 5, 3] += 3000.0  # one token of one channel, which LayerNorm makes small again
    pair = quantized_pair(changed, find_recipe("w8a8_affine"), images)
    blocks = list(dict.fromkeys(block for layer in pair.layers if (block := block_of(layer.name))))
    with torch.no_grad():
        reference = changed(images)
    worst = ["blocks.0.mlp.fc2", "blocks.1.mlp.fc2"]
    found = [
        sqnr(reference, outputs_of_step(pair, blocks, step, worst[: step.worst_in_float], images, images))
        for step in LADDER
    ]
    assert found[1] > found[0] + 6 and found[3] > found[0] + 6, found
    with torch.no_grad():
        assert abs(found[4] - sqnr(reference, pair.quantized(images))) < 1e-6  # nothing but the layers themselves


def mixture(*widths: int) -> Mixture:
    _, module, images = tiny("vit")
    pairs = {width: quantized_pair(module, find_recipe(f"w{width}a8_minmax"), images) for width in widths}
    with torch.no_grad():
        return Mixture(pairs, images, module(images))


def packed_bytes(found: Mixture, bits: dict[str, int]) -> int:
    weights = {layer.name: layer.module.weight.flatten(1).shape for layer in found.layers}
    return sum(rows * row_bytes(columns, bits[name]) for name, (rows, columns) in weights.items())


def test_bits_by_layer_are_better_than_uniform_ones_in_the_same_bytes() -> None:
    found = mixture(3, 4, 8)
    uniform = {layer.name: 4 for layer in found.layers}
    budget = packed_bytes(found, uniform)
    before = -10 * torch.log10(torch.tensor(found.noise(uniform)))
    solution = choose_bits(found, Limit(bytes=budget))
    assert packed_bytes(found, solution.bits) == solution.bytes <= budget
    assert solution.sqnr_db > before and set(solution.bits.values()) <= {3, 4, 8}
    again = -10 * torch.log10(torch.tensor(found.noise(solution.bits)))
    assert abs(float(again) - solution.sqnr_db) < 1e-3


def test_the_fewest_bytes_for_an_error_keep_to_it() -> None:
    found = mixture(3, 4, 8)
    solution = choose_bits(found, Limit(sqnr_db=18.0))
    most = packed_bytes(found, {layer.name: 8 for layer in found.layers})
    assert solution.sqnr_db >= 18.0 and solution.bytes < most


@pytest.mark.parametrize(("limit", "words"), [(Limit(bytes=10), "--budget"), (Limit(sqnr_db=90.0), "--min-sqnr-db")])
def test_limits_that_cannot_be_kept_are_refused(limit: Limit, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        choose_bits(mixture(3, 8), limit)


def test_rules_name_only_layers_with_other_bits() -> None:
    rules = as_rules({"a": 4, "b": 8, "c": 3}, 4, {"a": 8, "b": None, "c": 8})
    assert [(rule.pattern, rule.weight_bits, rule.activation_bits) for rule in rules] == [("b", 8, None), ("c", 3, 8)]


@pytest.mark.slow
def test_the_command_writes_tables_plots_and_a_recipe(
    tiny_models: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from export.analyze import main
    from export.quantize import main as quantize

    tiny_models("deit_t")
    monkeypatch.chdir(tmp_path)
    model = ["--model", "deit_t", "--weights", "random"]
    data = make_classes(tmp_path / "val", 3, CLASSES)
    common = [*model, "--data", str(data), "--limit", "8", "--out", str(tmp_path), "--recipe"]
    main([*common, "w4a8_minmax", "--everything", "--worst", "2"])
    said = capsys.readouterr().out
    written = json.loads((tmp_path / "analysis-deit_t-w4a8_minmax.json").read_text())
    worst = min((row for row in written["sensitivity"] if row["weights"]), key=lambda row: row["sqnr_db"])
    assert f"--rule '{worst['layer']}=8" in said and "not the residual additions" in said
    assert written["n"] == 8 and len(written["ladder"]) == len(LADDER) and written["float_top1"]["n"] == 8
    for name in ("layers.svg", "layers.png", "depth.svg", "depth.png"):
        assert (tmp_path / f"analysis-deit_t-w4a8_minmax-{name}").stat().st_size > 1000
    main([*common, "w4a8_minmax"])
    assert json.loads((tmp_path / "analysis-deit_t-w4a8_minmax.json").read_text())["ladder"] == written["ladder"]
    main([*common, "w4a8_minmax", "--budget", "4", "--bits", "3,4,8"])
    recipe = tmp_path / "w3to8a8_minmax_4bits-deit_t.json"
    mixed = json.loads((tmp_path / "mixed-deit_t-w3to8a8_minmax_4bits.json").read_text())
    uniform = {row["recipe"]: row for row in mixed["uniform"]}["w4a8_minmax"]
    assert mixed["chosen"]["weight_bytes"] <= uniform["weight_bytes"]
    assert mixed["chosen"]["sqnr_db"] > uniform["sqnr_db"]
    quantize([*model, "--recipe", str(recipe), "--out", str(tmp_path / "mixed.safetensors")])
    assert (tmp_path / "mixed.safetensors").stat().st_size == mixed["chosen"]["bytes"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bits", "4"], "--bits"),
        (["--bits", "3,4"], "without a limit"),
        (["--budget", "9"], "--budget"),
        (["--budget", "many"], "--budget"),
        (["--budget", "4", "--everything"], "--everything"),
        (["--recipe", "f32"], "quantizes nothing"),
        (["--worst", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(options: list[str], words: str, tmp_path: Path) -> None:
    from export.analyze import main

    with pytest.raises(RequestError, match=words):
        main(["--model", "fashion", "--limit", "4", "--out", str(tmp_path), *options])


def test_layers_without_quantized_inputs_have_only_weights() -> None:
    pair, _, _ = pair_of("vit", "w4_rtn")
    assert {pair.kinds(layer) for layer in pair.layers} == {("weights",)}
    assert all(isinstance(layer.module, nn.Linear | nn.Conv2d) for layer in pair.layers)
