"""From class folders to files that can be built into a page: weights, labels, model card and report."""

import json
from pathlib import Path

import pytest
import torch
from pictures import CLASSES, MODEL, TINY, Train, make_classes, make_picture, pack
from safetensors.torch import load_file

from export.core.records import Preprocess
from export.data.pictures.arrays import model_inputs
from export.data.pictures.training_set import open_training_set
from export.data.preprocess import preprocess, read_image
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.training.result import write_card
from export.training.results.card import Card

pytestmark = pytest.mark.slow  # whole trainings


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result that is good enough to be told from chance."""
    from pictures import SHORT

    from export.train import main

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(
            ["--data", str(pictures), *SHORT, "--epochs", "30", "--warmup-epochs", "2", "--jitter", "0", "--out", "out"]
        )
    return folder / "out"


def test_a_tiny_model_learns_classes_that_are_easy(trained: Path) -> None:
    card = Card.read(trained / "card.json")
    assert card.top1.percent >= 90 and card.top1.n == 12
    assert card.top1.low < card.top1.percent and card.classes == card.labels == CLASSES
    assert len(card.curve) == 30 and card.curve[-1].loss < card.curve[0].loss
    assert sum(row.n for row in card.per_class) == 12
    assert sum(row.correct for row in card.per_class) == round(card.top1.percent * 12 / 100)
    assert card.command.startswith("python -m export.train --data") and card.options["seed"] == 0
    assert card.held_out.startswith("the validation set of")


def test_the_result_is_loaded_as_it_was_measured(trained: Path, pictures: Path) -> None:
    """The file tells of its architecture's arguments, preprocessing and labels."""
    card = Card.read(trained / "card.json")
    request = ModelRequest(model="timm/vit_tiny_patch16_224", checkpoint=trained / "model.safetensors")
    spec, module = load(request, tell=lambda note: None)
    assert spec.labels == CLASSES and spec.outputs == 3
    assert spec.preprocess.size == 16 and spec.preprocess.crop_pct == card.preprocess["crop_pct"]
    assert list(spec.preprocess.mean) == card.preprocess["mean"]
    correct = 0
    for index, name in enumerate(CLASSES):
        for path in (pictures / "val" / name).iterdir():
            pixels = torch.from_numpy(preprocess(read_image(path), spec.preprocess))
            correct += int(module(pixels[None]).argmax().item() == index)
    assert correct == sum(row.correct for row in card.per_class)
    assert (trained / "labels.txt").read_text().split() == list(CLASSES)


def test_the_card_is_written_for_people_too(trained: Path) -> None:
    text, report = (trained / "README.md").read_text(), (trained / "report.html").read_text()
    for words in ("95 % confidence", "licence of the data", "--epochs 30", "| seed | 0 |", "python -m export.build"):
        assert words in text
    assert (report.count("<svg") == 3 and "Most frequent confusions" in report) or "taken for" not in report
    assert all(name in report for name in CLASSES) and "<script" not in report


def test_a_card_of_an_earlier_version_is_read_and_rendered(trained: Path, tmp_path: Path) -> None:
    values = json.loads((trained / "card.json").read_text())
    for name in ("first_weights", "teacher", "held_out", "labels", "per_class", "confusions"):
        del values[name]
    values["data"] = "a <b> & c"
    write_card(Card.from_json(values), tmp_path)
    assert Card.read(tmp_path / "card.json").curve
    assert "a &lt;b&gt; &amp; c" in (tmp_path / "report.html").read_text()
    assert "a <b> & c" in (tmp_path / "README.md").read_text()


def test_archives_are_trained_on_in_place(train: Train, pictures: Path, tmp_path: Path) -> None:
    plain = load_file(train("--seed", "5") / "model.safetensors")
    archive = pack(pictures, tmp_path / "pictures.tar.gz")
    packed = load_file(train("--seed", "5", data=archive, out="packed") / "model.safetensors")
    assert all(torch.equal(plain[name], packed[name]) for name in plain)


def test_broken_pictures_are_left_out_aloud(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_classes(tmp_path / "data", 8)
    (data / "bee/3.png").write_bytes(b"broken")
    card = Card.read(train("--epochs", "1", data=data) / "card.json")
    assert "bee/3.png" in capsys.readouterr().out
    assert card.training_pictures + card.top1.n == 23


def test_large_pictures_are_measured_as_a_page_prepares_them(tmp_path: Path) -> None:
    for index, name in enumerate(CLASSES):
        for number in range(2):
            make_picture(tmp_path / f"data/{name}/{number}.png", 50 + 60 * index, number, (90, 120))
    wanted = Preprocess(
        size=28, crop_pct=0.875, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    with open_training_set(tmp_path / "data") as found:
        array = model_inputs(found.train, wanted, tmp_path / "cache", "pictures")
        names = found.train.names
    for position, name in enumerate(names):
        page = preprocess(read_image(tmp_path / "data" / name), wanted)
        ours = (
            torch.from_numpy(array.take(slice(position, position + 1)))[0].permute(2, 0, 1).float() / 255 - 0.5
        ) / 0.5
        assert torch.allclose(ours, torch.from_numpy(page), atol=1e-6)


@pytest.mark.parametrize(("size", "interpolation"), [("16", "bicubic"), ("32", "bilinear")])
def test_pictures_smaller_than_the_model_s_are_enlarged_as_their_crops_are(
    train: Train, size: str, interpolation: str
) -> None:
    card = Card.read(train("--epochs", "1", "--image-size", size) / "card.json")
    assert card.preprocess["interpolation"] == interpolation


def test_a_teacher_of_the_same_classes_is_followed(train: Train, trained: Path, tmp_path: Path) -> None:
    """With the teacher's share at 1, the targets are the teacher's alone."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    teacher = timm.create_model("test_vit", img_size=32, num_classes=3)
    torch.nn.init.zeros_(teacher.head.weight)
    torch.nn.init.constant_(teacher.head.bias, 0.0)
    teacher.head.bias.data[1] = 9.0
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    options = (
        "--teacher",
        "timm/test_vit",
        "--teacher-checkpoint",
        "teacher.safetensors",
        "--teacher-image-size",
        "32",
    )
    out = train(*options, "--distillation", "1", "--epochs", "20")
    card = Card.read(out / "card.json")
    assert card.teacher == "timm/test_vit" and card.options["distillation"] == 1
    assert [row.correct for row in card.per_class] == [0, 4, 0]
    assert Card.read(train(*options, "--epochs", "1") / "card.json").options["distillation"] == 0.5


def test_an_onnx_teacher_is_followed(train: Train, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    constant = helper.make_node(
        "Constant", [], ["weights"],
        value=helper.make_tensor("w", TensorProto.FLOAT, [3, 3], [0.0] * 9),
    )  # fmt: skip
    bias = helper.make_node(
        "Constant", [], ["bias"], value=helper.make_tensor("b", TensorProto.FLOAT, [3], [0, 0, 9.0])
    )
    nodes = [
        constant,
        bias,
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 24, 24])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "teacher", [x], [y])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "teacher.onnx"
    )
    out = train("--teacher", "teacher.onnx", "--teacher-image-size", "24", "--distillation", "1", "--epochs", "20")
    assert [row.correct for row in Card.read(out / "card.json").per_class] == [0, 0, 4]


def test_a_checkpoint_of_another_size_is_made_to_fit(
    train: Train, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shallower = ("--model-arguments", '{"depth": 1, "patch_size": 4, "embed_dim": 24, "num_heads": 3}')
    usual = ("--model", "timm/vit_tiny_patch16_224", *shallower, "--image-size", "24", "--batch-size", "8")
    out = train("--checkpoint", str(trained / "model.safetensors"), "--epochs", "1", usual=usual)
    said = capsys.readouterr().out
    for words in ("pos_embed is resampled", "patch_embed.proj.weight is resampled", "blocks 1 of", "keeps the rows"):
        assert words in said
    assert Card.read(out / "card.json").first_weights == "checkpoint model.safetensors"
    other = make_classes(tmp_path / "other", 8, ("dog", "emu", "fox"))
    train("--checkpoint", str(trained / "model.safetensors"), "--epochs", "1", usual=(*MODEL[:2], *TINY), data=other)
    assert "the head starts afresh" in capsys.readouterr().out
