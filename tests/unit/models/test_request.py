"""What may be asked for, and what is refused before anything heavy is imported."""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.core.errors import ArtifactError, RequestError
from export.models.choice import request as request_module
from export.models.choice.options import add_model_options, read_model
from export.models.choice.request import ModelRequest, PreprocessOptions, describe

ROOT = Path(__file__).parents[3]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"weights")
    return path


TWIN = ("google-vit-base-patch16-224", "vit_base_patch16_224.orig_in21k_ft_in1k")


@pytest.mark.parametrize(
    ("model", "name", "timm_name"),
    [
        ("deit_t", "deit_t", "deit_tiny_patch16_224.fb_in1k"),
        ("timm/resnet18", "timm-resnet18", "resnet18"),
        ("timm/resnet18.a1_in1k", "timm-resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm-resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("google/vit-base-patch16-224", *TWIN),
        ("hf-hub:google/vit-base-patch16-224", *TWIN),
        ("hf_hub:google/vit-base-patch16-224", *TWIN),
    ],
)
def test_names_of_three_kinds_are_understood(model: str, name: str, timm_name: str) -> None:
    request = ModelRequest(model=model)
    assert (request.name, request.entry.timm_name, request.kind) == (name, timm_name, "pretrained")


def test_other_outputs_and_other_random_weights_have_folders_of_their_own() -> None:
    assert ModelRequest(model="deit_t", weights="random", features=True).name == "deit_t_features"
    assert ModelRequest(model="deit_t", weights="random", outliers=True).name == "deit_t_outliers"


def test_repositories_of_the_hub_are_named_without_asking_it() -> None:
    for model in ("hf_hub:user/my-vit", "hf-hub:user/my-vit", "hf_hub:user/my-vit@v1.0"):
        request = ModelRequest(model=model)
        assert (request.name, request.entry.title, request.kind) == ("user-my-vit", "user/my-vit", "pretrained")
        assert request.entry.source == "https://huggingface.co/user/my-vit"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("diet_t", ("'diet_t'", "deit_t", "timm.list_pretrained()")),
        ("google/vit-base-patch16-225", ("google/vit-base-patch16-224",)),
        ("facebook/convnext-tiny-224", ("timm/NAME", "--model hf_hub:facebook/convnext-tiny-224")),
        ("hf_hub:", ("is no name of a repository",)),
        ("hf_hub:one", ("is no name of a repository",)),
        ("timm/../../etc/passwd", ("there is no such model",)),
        ("timm/", ("there is no such model",)),
        ("", ("there is no such model",)),
        ("vit_base_patch16_224", ("names are timm/vit_base_patch16_224,", "→ pass --model timm/vit_base_patch16_224")),
        ("vit_base_patch16_224.dino", ("→ pass --model timm/vit_base_patch16_224.dino",)),
        ("vit_base_patch16_224.none", ("→ pass --model timm/vit_base_patch16_224,",)),
        ("convnext_tiny", ("→ pass --model timm/convnext_tiny",)),
        ("ViT-Base-Patch16-224", ("→ pass --model timm/vit_base_patch16_224",)),
        ("timm/ViT_Base_patch16_224", ("→ pass --model timm/vit_base_patch16_224",)),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(model: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        ModelRequest(model=model)
    assert caught.value.exit_code == 2
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_kind_of_weights_follows_from_what_was_asked(weights: Path) -> None:
    assert ModelRequest(model="fashion").kind == "embedded"
    assert ModelRequest(model="fashion", weights="pretrained").kind == "embedded"
    assert ModelRequest(model="fashion", weights="random").kind == "random"
    assert ModelRequest(model="fashion", checkpoint=weights).kind == "checkpoint"
    assert ModelRequest(model="deit_t", weights="random").kind == "random"


def test_contradictions_and_missing_files_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="mutually exclusive"):
        ModelRequest(model="deit_t", checkpoint=weights, weights="random")
    with pytest.raises(RequestError, match="no file was given"):
        ModelRequest(model="deit_t", weights="checkpoint")
    with pytest.raises(RequestError, match="no embedded weights"):
        ModelRequest(model="deit_t", weights="embedded")
    with pytest.raises(RequestError, match="does not exist"):
        ModelRequest(model="deit_t", checkpoint=tmp_path / "none.pth")
    with pytest.raises(RequestError, match="is a folder") as caught:
        ModelRequest(model="deit_t", checkpoint=tmp_path)
    assert str(weights) in caught.value.hint
    (tmp_path / "weights.pth").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RequestError, match="is an HDF5 file"):
        ModelRequest(model="deit_t", checkpoint=tmp_path / "weights.pth")
    (tmp_path / "weights.pth").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(RequestError, match="is a Git LFS pointer") as caught:
        ModelRequest(model="deit_t", checkpoint=tmp_path / "weights.pth")
    assert "git lfs pull" in caught.value.hint
    with pytest.raises(RequestError, match=r"labels\.txt: no such file"):
        ModelRequest(model="deit_t", labels=tmp_path / "labels.txt")


def test_a_description_changes_with_everything_that_decides_the_weights(weights: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    random = [describe(ModelRequest(model="deit_t", weights="random", seed=seed)) for seed in (0, 0, 1)]
    assert random[0] == random[1] != random[2]
    assert describe(ModelRequest(model="deit_t", seed=0)) == describe(ModelRequest(model="deit_t", seed=1)) != random[0]
    plain = describe(ModelRequest(model="deit_t", checkpoint=weights))
    assert plain["weights"] == hashlib.sha256(b"weights").hexdigest()
    labelled = describe(ModelRequest(model="deit_t", checkpoint=weights, labels=labels))
    assert labelled != plain
    weights.write_bytes(b"other weights")
    assert describe(ModelRequest(model="deit_t", checkpoint=weights)) != plain
    labels.write_text("dog\ncat\n")
    assert describe(ModelRequest(model="deit_t", checkpoint=weights, labels=labels))["labels"] != labelled["labels"]
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/0.png").touch()
    folders = ModelRequest(model="deit_t", checkpoint=weights, labels=tmp_path / "photos")
    before = describe(folders)["labels"]
    (tmp_path / "photos/cat").rename(tmp_path / "photos/dog")
    assert describe(folders)["labels"] != before


def test_preprocessing_that_is_requested_is_part_of_the_description() -> None:
    plain = describe(ModelRequest(model="deit_t"))
    for options in ({"mean": (0.5,) * 3}, {"std": (0.5,) * 3}, {"crop_pct": 0.9}, {"image_size": 384}):
        assert describe(ModelRequest(model="deit_t", preprocess=PreprocessOptions(**options))) != plain


@pytest.mark.parametrize(
    "options",
    [{"mean": (123.7, 116.3, 103.5)}, {"std": (0.0,) * 3}, {"crop_pct": 0.0}, {"crop_pct": 87.5}, {"image_size": 0}],
)
def test_preprocessing_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="is out of range") as caught:
        PreprocessOptions(**options)
    assert "allowed: " in caught.value.hint


def read(*words: str) -> ModelRequest:
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return read_model(parser.parse_args(words), "deit_t")


def test_the_command_line_describes_a_model() -> None:
    words = "--mean 0.5 --std 0.1,0.2,0.3 --crop-pct 0.9 --interpolation bilinear --image-size 64 --weights random"
    assert read(*words.split()).preprocess == PreprocessOptions(
        mean=(0.5,) * 3, std=(0.1, 0.2, 0.3), crop_pct=0.9, interpolation="bilinear", image_size=64
    )
    assert read().preprocess == PreprocessOptions()


@pytest.mark.parametrize("words", [("--mean", "a"), ("--std", "1,2"), ("--interpolation", "cubic")])
def test_what_is_no_number_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(*words)
    assert caught.value.code == 2 and words[1] in capsys.readouterr().err


def test_missing_embedded_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "ASSETS", tmp_path)
    with pytest.raises(ArtifactError, match=r"fashion\.safetensors is not in export/data/assets"):
        describe(ModelRequest(model="fashion"))


def test_asking_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from export.models.choice.request import ModelRequest, describe\n"
        "describe(ModelRequest(model='deit_t'))\n"
        "print(sorted({'torch', 'timm', 'numpy', 'PIL', 'tensorflow', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
