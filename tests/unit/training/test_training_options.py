"""Every option has an effect or is refused with one sentence and exit code 2."""

from pathlib import Path

import pytest
import torch
from pictures import MODEL, SHORT, Train, make_classes
from safetensors.torch import save_file
from torch import nn

from export.core.errors import RequestError
from export.train import main
from export.train import parser as make_parser
from export.training.arguments import picture_options, teacher_request
from export.training.devices import uses_bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "64"], "--batch-size 64 is larger than the 24 pictures"),
        (["--image-size", "20"], "--image-size 20 is not a multiple of vit_tiny_patch16_224's patches of 8×8"),
        (["--model-arguments", '{"depht": 2}'], "unexpected keyword argument 'depht'"),
        (["--model-arguments", '{"img_size": 32}'], "--model-arguments: img_size is not for them to say"),
        (["--teacher-checkpoint", "teacher.pt"], "--teacher-checkpoint does not apply without --teacher"),
        (["--distillation", "0.5"], "--distillation does not apply without --teacher"),
        (["--teacher", "t.onnx", "--distillation", "0"], "--teacher has no effect with --distillation 0"),
        (["--teacher", "t.onnx"], "--teacher t.onnx: no such file"),
        (["--frozen-blocks", "1", "--cutmix", "1"], "--cutmix does not apply with --frozen-blocks"),
        (["--frozen-blocks", "3"], "--frozen-blocks 3: the model has 2 blocks"),
        (["--optimizer", "adamz"], "--optimizer adamz"),
        (["--lr", "nan"], "--lr nan must be from"),
        (["--noise-bits", "9"], "--noise-bits 9 must be 0 or from 2 to 8"),
        (["--phases", "1:0"], "--phases does not apply to training on pictures"),
        (["--install"], "--install does not apply to training on pictures"),
        (["--qat", "w4a4_lsq"], "--weights does not apply with --qat"),
        (["--ptq", "affine"], "--ptq does not apply to training on pictures"),
        (["--checkpoint", "absent.pt", "--weights", "random"], "mutually exclusive"),
        (["--validation", "absent"], "absent: no such folder or file"),
        (["--words", "absent.txt"], "--words absent.txt: no such file"),
        (["--model", "timm/no_such_vit"], "has no model no_such_vit"),
    ],
)
def test_what_cannot_be_trained_is_refused(train: Train, options: list[str], message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        train(*options)
    assert message in str(refusal.value)
    assert not Path("out/model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--mixup 0.2", "--mixup does not apply without --qat"),
        ("--image-size 32", "--image-size does not apply without --qat"),
        ("--teacher deit_t", "--teacher does not apply without --qat"),
        ("--weights random", "--weights does not apply without --qat"),
        ("--qat w4a4_lsq --frozen-blocks 1", "--frozen-blocks does not apply with --qat"),
        ("--qat w4a4_lsq --ema-decay 0.9", "--ema-decay does not apply with --qat"),
        ("--model deit_t", "--model deit_t is not trained on Fashion-MNIST"),
        ("--data absent", "--data absent: no such folder or file"),
    ],
)
def test_options_for_pictures_are_refused_elsewhere(options: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        main(options.split())


def test_a_teacher_of_other_classes_is_refused(train: Train, tmp_path: Path) -> None:
    import timm

    save_file(timm.create_model("test_vit", num_classes=5).state_dict(), tmp_path / "five.safetensors")
    with pytest.raises(RequestError, match="has neither these 3 classes nor ImageNet's"):
        train("--teacher", "timm/test_vit", "--teacher-checkpoint", "five.safetensors")
    others = make_classes(tmp_path / "others", 8, ("dog", "emu", "fox"))
    out = train("--epochs", "1", data=others, usual=(*MODEL, *SHORT[4:8], "--batch-size", "8"))
    teacher = ("--teacher", "timm/vit_tiny_patch16_224", "--teacher-checkpoint", str(out / "model.safetensors"))
    with pytest.raises(RequestError, match=r"does not fit|has neither these 3 classes"):
        train(*teacher, "--teacher-image-size", "16")
    with pytest.raises(RequestError, match=r"^--teacher-image-size 20 is not a multiple of .*\n.*--teacher-image-size"):
        train(*teacher, "--teacher-image-size", "20")


def test_the_command_refuses_in_one_sentence(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError, match=r"^--layer-decay 2.0 must be from 0.01 to 1\n"):
        main(["--data", str(pictures), *SHORT, "--layer-decay", "2"])
    with pytest.raises(SystemExit) as end:
        main(["--data", str(pictures), *SHORT, "--model-arguments", "[1]"])
    said = capsys.readouterr()
    assert end.value.code == 2 and "is not a JSON object" in said.err and said.out == ""


def test_depthwise_convolutions_are_trained_in_float32_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    cpu, grouped, depthwise = torch.device("cpu"), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8)
    assert uses_bfloat16(nn.Sequential(grouped), cpu) and not uses_bfloat16(nn.Sequential(depthwise), cpu)
    assert uses_bfloat16(depthwise, torch.device("cuda"))


def test_warm_up_leaves_most_of_a_short_training_to_the_peak_rate() -> None:
    """With one epoch of warm-up, one epoch of training never reached its learning rate."""
    pictures = ("--data", "train", *MODEL)
    for options, expected in (((), 1.0), (("--epochs", "1"), 0.1), (("--epochs", "5", "--warmup-epochs", "2"), 2.0)):
        assert picture_options(make_parser().parse_args([*pictures, *options])).warmup_epochs == expected
    args = make_parser().parse_args([*pictures, "--epochs", "1", "--warmup-epochs", "1"])
    with pytest.raises(RequestError, match=r"^--warmup-epochs 1.0 must be less than --epochs 1.0"):
        picture_options(args)


def test_a_teacher_of_the_catalog_sees_pictures_of_its_own_size() -> None:
    """The embedded model's is not its architecture's."""
    request = teacher_request(make_parser().parse_args(["--data", "train", *MODEL, "--teacher", "photos"]))
    assert request is not None and request.image_size == 64


def test_options_of_the_published_model_mean_what_they_did() -> None:
    """The command in the card of a model that was trained by an earlier version."""
    options = (
        "--data train --validation val --model timm/vit_small_patch14_dinov2 --checkpoint first.safetensors "
        "--image-size 64 --batch-size 1024 --lr 1.2e-3 --layer-decay 0.85 --warmup-epochs 2 --mixup 0.2 --cutmix 1.0 "
        "--drop-path 0.1 --erase-prob 0.1 --crop-min 0.25 --ema-decay 0.998 --distillation 0.7 --noise-bits 4 --seed 0 "
        "--teacher timm/tf_efficientnet_lite2 --teacher-checkpoint teacher.safetensors --teacher-image-size 128 "
        "--epochs 45 --out student"
    )
    args = make_parser().parse_args([*options.split(), "--model-arguments", '{"depth":8,"patch_size":8}'])
    assert picture_options(args).to_json() == {
        **{"model": "vit_small_patch14_dinov2", "arguments": {"depth": 8, "patch_size": 8}, "image_size": 64},
        **{"epochs": 45.0, "batch_size": 1024, "optimizer": "adamw", "lr": 0.0012, "layer_decay": 0.85},
        **{"weight_decay": 0.05, "warmup_epochs": 2.0, "smoothing": 0.1, "crop_min": 0.25, "jitter": 0.3},
        **{"erase_prob": 0.1, "mixup": 0.2, "cutmix": 1.0, "drop_path": 0.1, "ema_decay": 0.998},
        **{"distillation": 0.7, "noise_bits": 4, "frozen_blocks": 0, "seed": 0},
    }
