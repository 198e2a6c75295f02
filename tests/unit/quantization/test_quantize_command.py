"""The commands quantize and evaluate as a person uses them."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sharing import one_at_a_time

from export import evaluate, quantize
from export.conversion.onnx.export import run_onnx
from export.core.errors import RequestError
from export.data.calibration import calibration_images
from export.data.fashion import LABELS, read_embedded
from export.models.weights.float_artifact import run_model
from export.quantization.evaluation.records import read_table
from export.quantization.evaluation.selection import every_recipe
from export.quantization.integer_file import load_quantized
from export.quantization.methods import METHODS
from export.quantization.recipe_options import read_recipe, read_rule
from export.quantization.recipes import RECIPES, find_recipe, find_recipes
from export.quantize import parser


@pytest.fixture
def shared(artifacts: Path) -> Iterator[list[str]]:
    """The option for the artifacts of all tests, to which nobody else adds meanwhile."""
    with one_at_a_time("fashion"):
        yield ["--artifacts", str(artifacts)]


def recipe(*argv: str):  # type: ignore[no-untyped-def]
    return read_recipe(parser().parse_args(list(argv)))


def test_recipes_are_named_by_bits_and_method() -> None:
    found = find_recipe("w4a8_ptq4vit")
    assert found.quantization is not None
    assert (found.quantization.weight_bits, found.quantization.activation_bits) == (4, 8)
    assert (found.storage_dtype, found.compute_dtype) == ("int4", "int8")
    assert find_recipe("w6_gptq").compute_dtype == "float32"
    dynamic = find_recipe("w8_dynamic").quantization
    assert dynamic is not None and dynamic.activation_bits == 8
    assert find_recipe("w8a8_dynamic").name == "w8_dynamic"
    assert [one.name for one in find_recipes("u8, w4_gptq")] == ["u8", "w4_gptq"]
    assert len(set(every_recipe())) == len(every_recipe()) > 60


def test_a_recipe_under_another_name_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    find_recipes("w8_dynamic,w4_gptq")
    assert capsys.readouterr().out == ""
    find_recipe("w8a8_dynamic")
    assert capsys.readouterr().out == "note: w8a8_dynamic is named w8_dynamic, which has 8-bit activations\n"


def test_methods_that_need_no_images_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [name for name, method in METHODS.items() if not method.uses_images] == ["rtn", "dynamic"]
    model = ["--model", "timm/test_vit.r160_in1k", "--weights", "random", "--artifacts", str(tmp_path / "artifacts")]
    quantize.main([*model, "--recipe", "w8_rtn"])
    said = capsys.readouterr().out
    assert "note: rtn needs no calibration images\n" in said and "synthetic" not in said
    (tmp_path / "photos").mkdir()
    quantize.main([*model, "--recipe", "w8_dynamic", "--data", str(tmp_path / "photos")])
    assert "note: dynamic needs no calibration images; --data " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("w8a8_ptq5vit", "ptq4vit"),
        ("w9_rtn", "3 to 8"),
        ("w8a2_minmax", "3 to 8"),
        ("w8_minmax", "w8a8_minmax"),
        ("w8a8_rtn", "w8_rtn"),
        ("", "known"),
        ("no.json", "no.json"),
    ],
)
def test_recipes_that_cannot_be_are_refused(name: str, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        find_recipes(name)
    assert words in str(refused.value)


def test_a_recipe_file_is_a_recipe(tmp_path: Path) -> None:
    values = find_recipe("w4a8_repq").to_json() | {"name": "mine"}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    assert find_recipe(str(path)).to_json() == values
    for broken in (values | {"name": "u8"}, RECIPES["u8"].to_json() | {"name": "x"}, values | {"name": "../x"}):
        path.write_text(json.dumps(broken))
        with pytest.raises(RequestError, match="needs a unique name"):
            find_recipe(str(path))
    with pytest.raises(RequestError, match=r"absent\.json: there is no such file"):
        find_recipe(str(tmp_path / "absent.json"))


QUANTIZATION, CALIBRATION = ("quantization",), ("quantization", "calibration")
METHOD = ("quantization", "method")


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        (METHOD, {"fold": "layernrom"}, 'fold is "layernrom"; allowed: none, layernorm, smooth'),
        (METHOD, {"weights": 4}, "weights is 4; allowed: max, search, gptq, learned, tracked"),
        (METHOD, {"accumulation_depth": -1}, "accumulation_depth is -1; allowed: a whole number of at least 0"),
        (METHOD, {"run": 4}, 'unknown key "run"; known keys: '),  # its name in earlier versions
        (METHOD, {"run": 4}, ", accumulation_depth, "),
        (METHOD, {"weight_only": "no"}, 'weight_only is "no"; allowed: true or false'),
        (QUANTIZATION, {"method": "gptqq"}, 'quantization.method is "gptqq"; allowed: an object with the keys name'),
        (QUANTIZATION, {"weight_bits": 9}, "quantization.weight_bits is 9; allowed: a whole number from 3 to 8"),
        (QUANTIZATION, {"weight_bits": 8.5}, "quantization.weight_bits is 8.5; allowed: a whole number from 3 to 8"),
        (QUANTIZATION, {"weight_bits": "8"}, 'quantization.weight_bits is "8"'),
        (QUANTIZATION, {"weight_bits": True}, "quantization.weight_bits is true"),
        (QUANTIZATION, {"activation_bits": 2}, "allowed: a whole number from 3 to 8 or null"),
        (QUANTIZATION, {"weight_bit": 8}, 'unknown key "weight_bit"; the nearest known key is weight_bits'),
        (QUANTIZATION, {"rules": [{"pattern": 3}]}, "rules[0]: missing keys: weight_bits, activation_bits"),
        (
            QUANTIZATION,
            {"rules": [{"pattern": 3, "weight_bits": 4, "activation_bits": None}]},
            "quantization.rules[0].pattern is 3; allowed: text",
        ),
        (QUANTIZATION, {"rules": "head=8"}, 'quantization.rules is "head=8"; allowed: a list'),
        (CALIBRATION, {"images": "many"}, 'calibration.images is "many"; allowed: a whole number of at least 1'),
        (CALIBRATION, {"images": 0}, "calibration.images is 0; allowed: a whole number of at least 1"),
        (CALIBRATION, {"images": 10**40}, "beyond 64 bits"),
        (CALIBRATION, {"seed": -1}, "calibration.seed is -1; allowed: a whole number of at least 0"),
        (CALIBRATION, {"metric": "mae"}, 'calibration.metric is "mae"; allowed: hessian, cosine, mse, l1'),
        (CALIBRATION, {"candidates": 0}, "calibration.candidates is 0"),
        (CALIBRATION, {"rounds": 1.5}, "calibration.rounds is 1.5"),
        (
            CALIBRATION,
            {"search_range": [1.2, 0.5]},
            "search_range is 1.2 to 0.5; the first value must be below the second",
        ),
        (CALIBRATION, {"search_range": [0, 1]}, "search_range[0] is 0; allowed: a number above 0"),
        (CALIBRATION, {"search_range": [0.5]}, "search_range is a list of 1; allowed: a list of 2"),
        (CALIBRATION, {"percentile": 50}, "percentile is 50; allowed: a number above 50 and up to 100"),
        (CALIBRATION, {"percentile": float("nan")}, "percentile is NaN"),
        (CALIBRATION, {"smooth": 1.01}, "smooth is 1.01; allowed: a number from 0 to 1"),
        ((), {"colour": "blue"}, 'unknown key "colour"; known keys: name, title'),
        ((), {"quantization": []}, "quantization is a list of 0; allowed: an object with the keys"),
    ],
)
def test_a_recipe_file_with_a_mistake_is_refused_by_its_place(
    tmp_path: Path, place: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    values = find_recipe("w4a8_repq").to_json() | {"name": "mine"}
    inside = values
    for name in place:
        inside = inside[name]
    inside |= changes
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    with pytest.raises(RequestError) as refused:
        quantize.main(["--recipe", str(path), "--artifacts", str(tmp_path)])
    said = str(refused.value)
    assert words in said and f"--recipe {path} is not a recipe: " in said and "→ correct the file" in said


def test_options_change_the_recipe_and_its_name() -> None:
    plain = recipe("--recipe", "w8a8_ptq4vit")
    assert plain == find_recipe("w8a8_ptq4vit")
    own = recipe(
        "--method",
        "ptq4vit",
        "--weights-bits",
        "4",
        "--activation-bits",
        "6",
        "--metric",
        "cosine",
        "--calibration",
        "64",
        "--seed",
        "3",
        "--rounds",
        "2",
        "--candidates",
        "20",
        "--search-range",
        "0.5,1.1",
        "--rule",
        "head=8,-",
        "--rule",
        "stem=-",
    )
    assert own.name == "w4a6_ptq4vit_custom" and own.quantization is not None
    how = own.quantization.calibration
    assert (how.metric, how.images, how.seed, how.rounds, how.candidates) == ("cosine", 64, 3, 2, 20)
    assert how.search_range == (0.5, 1.1)
    assert [(rule.pattern, rule.weight_bits, rule.activation_bits) for rule in own.quantization.rules] == [
        ("head", 8, None),
        ("stem", None, None),
    ]
    assert read_rule("blocks.*=4").weight_bits == 4


@pytest.mark.parametrize(
    "argv",
    [
        ("--recipe", "w8_rtn", "--weights-bits", "4"),
        ("--recipe", "u8"),
        ("--method", "rtn", "--rule", "head"),
        ("--method", "rtn", "--rule", "head=9"),
        ("--method", "rtn", "--rule", "head=8,8,8"),
        ("--method", "ptq4vit", "--search-range", "1"),
        ("--method", "ptq4vit", "--search-range", "2,1"),
        ("--method", "rtn", "--calibration", "0"),
        ("--method", "rtn", "--seed", "-1"),
        ("--method", "ptq4vit", "--search-range", "0,1"),
        ("--method", "ptq4vit", "--search-range", "0.5,nan"),
        ("--method", "ptq4vit", "--candidates", "0"),
        ("--method", "ptq4vit", "--rounds", "0"),
        ("--method", "percentile", "--activation-bits", "8", "--percentile", "50"),
        ("--method", "percentile", "--activation-bits", "8", "--percentile", "2"),
        ("--method", "smoothquant", "--activation-bits", "8", "--smooth", "2"),
    ],
)
def test_options_that_cannot_be_are_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        recipe(*argv)
    assert any(option in str(refused.value) for option in argv[::2])


@pytest.mark.conversion
def test_a_file_comes_out(shared: list[str], tmp_path: Path) -> None:
    out, other = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    quantize.main(["--model", "fashion", "--recipe", "w4_rtn", "--out", str(out), "--out", str(other), *shared])
    loaded = load_quantized(out)
    assert loaded.spec.name == "fashion" and loaded.recipe == find_recipe("w4_rtn")
    assert out.stat().st_size < 1_600_000
    spec, inputs = loaded.spec, np.zeros((1, 3, 28, 28), np.float32)
    assert np.abs(run_onnx(other, inputs) - run_model(loaded.module, inputs)).max() < 1e-4
    assert spec.outputs == 10 and other.stat().st_size < 1_800_000
    with pytest.raises(RequestError, match="tflite"):
        quantize.main(["--model", "fashion", "--recipe", "w4_rtn", "--out", str(tmp_path / "model.bin"), *shared])


def class_folders(folder: Path, count: int) -> Path:
    images = read_embedded("test")
    for index in range(count):
        place = folder / LABELS[int(images.labels[index])].replace("/", " ")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.images[index]).save(place / f"{index}.png")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def test_any_labelled_folder_or_archive_is_evaluated_and_calibrated_on(shared: list[str], tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "images", 40)
    archive = zipped(folder, tmp_path / "images.zip")
    tables = []
    for data in (folder, archive):
        evaluate.main(
            [
                "--recipe",
                "w8a8_minmax,w3_rtn",
                "--data",
                str(data),
                "--calibration-data",
                str(archive),
                "--out",
                str(tmp_path / data.name.replace(".", "_")),
                *shared,
            ]
        )
        tables.append(read_table(tmp_path / data.name.replace(".", "_") / "evaluation-fashion.json"))
    first, second = tables
    assert first.n == second.n == 40 and first.calibration_data == "images.zip"
    assert [row.recipe for row in first.rows] == ["f32", "w8a8_minmax", "w3_rtn"]
    for one, other in zip(first.rows, second.rows, strict=True):
        assert (one.top1, one.agreement, one.bytes) == (other.top1, other.agreement, other.bytes)
        assert one.top1 is not None and one.top1.n == 40
    float_row, eight, three = first.rows
    assert eight.sqnr_db is not None and three.sqnr_db is not None and eight.sqnr_db > three.sqnr_db
    assert eight.calibration_seconds is not None and float_row.calibration_seconds is None
    assert float_row.bytes > eight.bytes > three.bytes


def test_an_evaluation_goes_on_where_it_stopped(
    shared: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--limit", "30", "--out", str(tmp_path), *shared, "--recipe"]
    evaluate.main([*argv, "w5_rtn"])
    path = tmp_path / "evaluation-fashion.json"
    before = read_table(path).rows[1]
    evaluate.main([*argv, "w5_rtn,torch_ao_dynamic"])
    rows = read_table(path).rows
    assert rows[1] == before and rows[2].recipe == "torch_ao_dynamic"
    assert rows[2].note == "quantized 25 Linear, left in float 1 Conv2d"
    assert "| w5_rtn |" in path.with_suffix(".md").read_text()
    capsys.readouterr()
    with pytest.raises(RequestError, match="u8"):
        evaluate.main(["--recipe", "u8", *shared])


@pytest.mark.slow
def test_a_model_without_a_head_is_judged_by_its_neighbours(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "images", 24)
    evaluate.main(
        [
            "--model",
            "dino_s",
            "--weights",
            "random",
            "--image-size",
            "64",
            "--recipe",
            "w8_rtn",
            "--data",
            str(folder),
            "--out",
            str(tmp_path),
            "--artifacts",
            str(tmp_path / "artifacts"),
        ]
    )
    row = read_table(tmp_path / "evaluation-dino_s.json").rows[1]
    assert row.knn is not None and row.linear_probe is not None and row.top1 is None and row.agreement is None
    assert row.cosine is not None and row.cosine > 0.99


def test_calibration_uses_what_there_is_and_says_so(tmp_path: Path) -> None:
    from tiny import tiny

    spec, _, _ = tiny("vit")
    heard: list[str] = []
    found = calibration_images(spec, None, 3, 0, heard.append)
    assert found.images.shape == (3, 3, 28, 28) and "synthetic" in heard[0]
    folder = class_folders(tmp_path / "few", 5)
    fashion = fashion_spec()
    assert len(calibration_images(fashion, folder, 5, 0).images) == 5
    heard.clear()
    assert len(calibration_images(fashion, folder, 6, 0, heard.append).images) == 5
    assert heard == ["note: few: 5 usable images for calibration instead of 6; all are used"]
    (folder / "Pullover").rename(folder / "no class")
    assert len(calibration_images(fashion, folder, 5, 0).images) == 5


def fashion_spec():  # type: ignore[no-untyped-def]
    from export.models.choice.request import ModelRequest
    from export.models.load import load

    return load(ModelRequest(model="fashion"), lambda text: None)[0]
