"""Comparisons of tiny models by the real command: tables, plots, studies, and what is not possible."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_catalog import SWIN

from export.compare import main
from export.core.errors import ExportError, RequestError
from export.page.reports.comparison.records import Comparison, ModelComparison, read_comparison
from export.quantization.evaluation.records import EvaluationRow

Tiny = Callable[..., None]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """Run the command in a folder of its own, in this process, and return what it kept."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, workers: int = 0) -> Comparison:
        main(["--weights", "random", "--workers", str(workers), "--out", "out", *options])
        return read_comparison(tmp_path / "out/comparison.json")

    return run


def rows_of(model: ModelComparison) -> dict[str, EvaluationRow]:
    return {row.evaluation.recipe: row.evaluation for row in model.rows}


@pytest.mark.slow
def test_tables_and_plots_of_several_models(
    compare: Callable[..., Comparison], tiny_models: Tiny, labelled: Path, tmp_path: Path, capsys: Any
) -> None:
    tiny_models("deit_t")
    tiny_models("swin_t", SWIN)
    options = ("--model", "deit_t,swin_t", "--data", str(labelled), "--rounds", "2")
    recipes = ("--recipe", "f32,w8a8_minmax,torch_ao_dynamic")
    found = compare(*options, *recipes)
    for model in found.models:
        rows = rows_of(model)
        assert list(rows) == ["f32", "w8a8_minmax", "torch_ao_dynamic"] and model.n == 18
        assert rows["f32"].bytes > rows["w8a8_minmax"].bytes
        top1 = rows["w8a8_minmax"].top1
        assert top1 is not None and top1.n == 18 and top1.low <= top1.value <= top1.high
        assert (rows["w8a8_minmax"].sqnr_db or 0) > 10
        assert {(one.recipe, one.batch) for one in model.speeds if one.device == "cpu"} == {
            (recipe, batch) for recipe in ("f32", "torch_ao_dynamic") for batch in (1, 32)
        }
        assert all(speed.images_per_second.n == 2 for speed in model.speeds)
        linear = next(one for one in model.operators if one.name == "matrix product with weights")
        assert (linear.ours, linear.torch_ao) == ("all", "all") and linear.share > 0.3
        conv = next(one for one in model.operators if one.name == "convolution")
        assert (conv.calls, conv.ours, conv.torch_ao) == (1, "all", "none")
        assert model.dynamic is not None and model.dynamic.equal
        assert model.dynamic.linear_bytes == model.dynamic.both_bytes
    check_files(tmp_path / "out", found)
    shown = capsys.readouterr().out
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}
    for name in drawn:
        if name != "comparison.json":
            (tmp_path / "out" / name).unlink()
    main(["--redraw", "--out", "out"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")} == drawn
    assert capsys.readouterr().out in shown
    compare(*options, *recipes)
    assert "10 of 10 jobs are done already" in capsys.readouterr().out


def check_files(out: Path, found: Comparison) -> None:
    for name in ("size_reduction", "accuracy_loss", "throughput", "pareto_deit_t"):
        text = "".join(ElementTree.parse(out / f"{name}.svg").getroot().itertext())
        assert "w8a8_minmax" in text or name == "throughput"
        with Image.open(out / f"{name}.png") as image:
            assert min(image.size) > 200
    with (out / "comparison.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(model.rows) for model in found.models)
    assert rows[1]["model"] == "deit_t" and rows[1]["evaluation.recipe"] == "w8a8_minmax"
    assert float(rows[1]["evaluation.top1.low"]) < float(rows[1]["evaluation.top1.high"])
    document = (out / "comparison.md").read_text()
    assert (
        all(f"## {model.title}" in document for model in found.models) and "the same outputs, bit for bit" in document
    )


@pytest.mark.slow
def test_an_ablation_has_all_cells_and_its_steps_are_independent(
    compare: Callable[..., Comparison], tiny_models: Tiny, labelled: Path, tmp_path: Path
) -> None:
    tiny_models("deit_t")
    few = ("--images", "4", "--candidates", "12")
    found = compare("--model", "deit_t", "--data", str(labelled), "--ablation", "--bits", "4,3", *few)
    (model,) = found.models
    cells = {row.cell: row.evaluation.sqnr_db for row in model.rows if row.cell is not None}
    assert len(cells) == 16 and len({(one.bits, one.hessian, one.softmax_twin, one.gelu_twin) for one in cells}) == 16
    four = [value for cell, value in cells.items() if cell.bits == 4]
    assert len(set(four)) == 8, "each step changes the outputs"
    assert model.rows[1].evaluation.recipe == "w4a4_ptq4vit_no_step" and model.operators == ()
    assert (tmp_path / "out/ablation_deit_t.svg").is_file()
    assert "| softmax twin | GELU twin |" in (tmp_path / "out/comparison.md").read_text()


@pytest.mark.slow
def test_studies_over_images_seeds_and_groups_of_rows(
    compare: Callable[..., Comparison], tiny_models: Tiny, tmp_path: Path
) -> None:
    """Without labels and pictures of their own; what images decide nothing of is evaluated once."""
    tiny_models("deit_t")
    studies = ("--images", "2,4", "--seeds", "0,1", "--row-groups", "1,3", "--rounds", "0", "--limit", "5")
    few = ("--candidates", "12")
    found = compare("--model", "deit_t", "--recipe", "w4a8_basic,w8_dynamic", *studies, *few)
    (model,) = found.models
    names = [(row.evaluation.recipe, row.images, row.seed) for row in model.rows]
    pairs = [(images, seed) for images in (2, 4) for seed in (0, 1)]
    searched = [(name, *pair) for name in ("w4a8_basic", "w4a8_basic_rows3") for pair in pairs]
    assert names == [("f32", None, None), *searched, ("w8_dynamic", None, None)]
    assert not model.labelled and model.rows[1].evaluation.top1 is None and model.rows[1].accuracy is not None
    assert len({row.evaluation.sqnr_db for row in model.rows[1:-1]}) > 4
    assert [row.weight_groups for row in model.rows[1:-1]] == [1] * 4 + [3] * 4
    assert all(row.seconds > 0 for row in model.rows)
    document = (tmp_path / "out/comparison.md").read_text()
    assert "### Calibration images and seeds" in document and " ± " in document
    assert (tmp_path / "out/images_deit_t.png").is_file() and not (tmp_path / "out/throughput.svg").exists()


@pytest.mark.slow
def test_a_model_without_a_head_is_judged_by_its_neighbours(
    compare: Callable[..., Comparison], tiny_models: Tiny, labelled: Path
) -> None:
    tiny_models("dino_s", classes=0)
    recipes = "torch_ao_dynamic,torch_ao_dynamic_linear"
    found = compare("--model", "dino_s", "--recipe", recipes, "--data", str(labelled), "--rounds", "1")
    (model,) = found.models
    both, linear = (rows_of(model)[name] for name in recipes.split(","))
    assert model.features and both.knn is not None and both.linear_probe is not None and both.knn.n == 9
    assert (both.bytes, both.sqnr_db, both.knn) == (linear.bytes, linear.sqnr_db, linear.knn)


@pytest.mark.slow
def test_a_job_that_fails_and_a_model_that_is_not_there(
    compare: Callable[..., Comparison], tiny_models: Tiny, tmp_path: Path
) -> None:
    """In a process of its own: the others are compared all the same."""
    tiny_models("deit_t")
    recipe = {
        "name": "wrong_rule",
        "title": "",
        "storage_dtype": "int8",
        "compute_dtype": "int8",
        "note": "",
        "quantization": {
            "method": {"name": "minmax", "title": "", "note": "", "activations": "minmax"},
            "weight_bits": 8,
            "activation_bits": 8,
            "rules": [{"pattern": "nowhere", "weight_bits": 8, "activation_bits": 8}],
        },
    }
    (tmp_path / "wrong.json").write_text(json.dumps(recipe))
    options = ("--model", "deit_t,timm/no_such_model", "--recipe", "wrong.json,w8_rtn", "--rounds", "0", "--limit", "3")
    with pytest.raises(ExportError, match=r"1 of 4 jobs failed: deit_t wrong_rule.*no layer of the model matches"):
        compare(*options, workers=1)
    found = read_comparison(tmp_path / "out/comparison.json")
    assert list(rows_of(found.models[0])) == ["f32", "w8_rtn"]
    assert [one.subject for one in found.failures] == ["timm-no_such_model", "deit_t wrong_rule, 32 images, seed 0"]
    assert "## What failed" in (tmp_path / "out/comparison.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "u8"], "u8: it only converts"),
        (["--recipe", "w4a4_lsq"], "w4a4_lsq: it is one of training"),
        (["--recipe", ","], "names no recipe"),
        (["--model", ","], "names no model"),
        (["--ablation", "minmax"], "no such method with a Hessian"),
        (["--bits", "8"], "--bits are the widths of --ablation"),
        (["--row-groups", "2", "--recipe", "w8_rtn"], "none of the recipes has a searched scale"),
        (["--steps", "--recipe", "w4a4_gptq"], "--steps: no recipe's method has a step"),
        (["--images", "0"], "--images 0: at least 1"),
        (["--candidates", "0"], "--candidates 0: at least 1"),
        (["--limit", "0"], "--limit 0: at least 1"),
        (["--workers", "-1"], "--workers -1: at least 0"),
        (["--memory", "much"], "--memory 'much' is not a size"),
        (["--data", "nowhere"], "--data nowhere: no such folder"),
        (["--redraw"], "comparison.json does not exist"),
        (["--redraw", "--bitwidths", "a.json"], "--bitwidths does not apply to --redraw"),
        (["--redraw", "--model", "photos"], "--model does not apply to --redraw"),
        (["--bitwidths", "a.json"], "a.json is not a table of bit widths"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=message):
        main(["--out", "out", *options])
    assert not any(tmp_path.iterdir())


def test_bit_widths_and_convergence_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the kept study, with curves as `export.train --qat` keeps them."""
    study = json.loads((ROOT / ".github/bitwidths.json").read_text())["studies"][0]
    for row in study["rows"]:
        if row["kind"] == "qat":
            row["curve"] = [{"step": 100, "loss": 2.0}, {"step": 200, "loss": 1.0}]
    (tmp_path / "table.json").write_text(json.dumps(study))
    monkeypatch.chdir(tmp_path)
    main(["--bitwidths", "table.json", "--out", "out"])
    for name, words in (("bitwidths", ("QAT lsq", "PTQ minmax")), ("convergence", ("4 bits", "affine_qat"))):
        text = "".join(ElementTree.parse(tmp_path / f"out/{name}.svg").getroot().itertext())
        assert all(word in text for word in words)
    assert "| PTQ `affine` |" in (tmp_path / "out/bitwidths.md").read_text()
