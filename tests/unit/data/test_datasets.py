"""Images to measure on: found, labelled, drawn evenly, and never left out unseen."""

import io
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.core.errors import RequestError
from export.core.records import ModelSpec, Preprocess
from export.data.datasets import Dataset, draw, open_dataset
from export.data.fashion import LABELS, read_embedded
from export.data.labels.known import imagenet_labels, numbered_labels
from export.data.preprocess import read_image

PREPROCESS = Preprocess(
    size=28, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


def spec_for(labels: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(
        name="model",
        title="Model",
        timm_name="test_vit",
        weights="random",
        weights_sha256="",
        preprocess=PREPROCESS,
        labels=labels,
        features=not labels,
        outputs=len(labels) or 64,
        parameters=1,
        licence="MIT",
        source="",
    )


PETS = spec_for(("cat", "golden retriever", "T-shirt/top"))


def picture(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


def fill(folder: Path, counts: dict[str, int]) -> Path:
    value = 0
    for name, count in counts.items():
        for index in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{index}.png").write_bytes(picture(value))
            value += 1
    return folder


def opened(
    data: Path | None, spec: ModelSpec = PETS, limit: int | None = None, **options: Any
) -> tuple[Dataset, list[str]]:
    said: list[str] = []
    return open_dataset(data, spec, limit, tell=said.append, **options), said


def test_class_folders_give_labels(tmp_path: Path) -> None:
    data, said = opened(fill(tmp_path / "pets", {"cat": 2, "Golden_Retriever": 1, "t-shirt top": 1}))
    assert [(example.name, example.label) for example in data] == [
        ("Golden_Retriever/0.png", 1),
        ("cat/0.png", 0),
        ("cat/1.png", 0),
        ("t-shirt top/0.png", 2),
    ]
    assert [read_image(example.data)[0, 0, 0] for example in data] == [2, 0, 1, 3]
    assert (data.title, len(data), data.total, data.unreadable, said) == ("pets", 4, 4, (), [])


def test_wordnet_ids_and_numbers_name_classes_too(tmp_path: Path) -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    folder = fill(tmp_path / "val", {"n01443537": 1, "n01440764": 1, "n15075141": 1})
    assert [example.label for example in opened(folder, spec_for(labels))[0]] == [0, 1, 999]
    numbered = fill(tmp_path / "numbered", {"0": 1, "2": 1})
    assert [example.label for example in opened(numbered)[0]] == [0, 2]


@pytest.mark.parametrize(
    ("counts", "reason"),
    [({"": 3}, "mine has no class folders"), ({"holiday": 3}, "holiday is not a class of model")],
    ids=["flat", "one folder"],
)
def test_a_folder_without_classes_is_unlabelled_and_that_is_said(
    tmp_path: Path, counts: dict[str, int], reason: str
) -> None:
    data, said = opened(fill(tmp_path / "mine", counts))
    assert [example.label for example in data] == [None] * 3
    assert said == [f"note: {reason}; its 3 images are used as unlabelled"]


def test_a_model_without_classes_takes_any_folders_as_classes(tmp_path: Path) -> None:
    data = opened(fill(tmp_path / "mine", {"a": 1, "b": 2}), spec_for(()))[0]
    assert [example.label for example in data] == [0, 1, 1]
    assert [example.label for example in opened(fill(tmp_path / "flat", {"": 2}), spec_for(()))[0]] == [None] * 2


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"cat": 1, "golden retreiver": 2}, ("1 of 2 folders", "golden retreiver (nearest: golden retriever)")),
        ({"cat": 1, "": 2}, ("2 images without a class are next to the class folders cat",)),
        ({"train/cat": 1, "val/cat": 1}, ("several sets: train, val",)),
        ({"cat": 1, "3": 1}, ("3",)),
    ],
)
def test_folders_that_are_no_classes_are_refused_by_name(
    tmp_path: Path, counts: dict[str, int], words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        opened(fill(tmp_path / "pets", counts))
    assert all(word in caught.value.message for word in words), caught.value.message


def archive(folder: Path, kind: str) -> Path:
    path = folder.with_suffix(kind)
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__MACOSX/pets/cat/._0.png", b"noise")
            for file in sorted(folder.rglob("*.*")):
                archive.write(file, f"pets/{file.relative_to(folder)}")
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as archive:
            archive.add(folder, "./pets")
    return path


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_an_archive_is_read_as_the_folder_it_was_made_of(tmp_path: Path, kind: str) -> None:
    folder = fill(tmp_path / "pets", {"cat": 2, "golden retriever": 2, ".hidden": 1})
    expected = {(f"pets/{example.name}", example.data, example.label) for example in opened(folder)[0]}
    data, said = opened(archive(folder, kind))
    shutil.rmtree(folder)
    for _ in range(2):
        assert {(example.name, example.data, example.label) for example in data} == expected
    assert (len(data), said) == (4, [])


def test_unreadable_images_are_counted_and_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets", {"cat": 3, "golden retriever": 1})
    (folder / "cat/1.png").write_bytes(picture(1)[:45])
    (folder / "cat/2.png").write_bytes(b"")
    (folder / "cat/thin.png").write_bytes(thin())
    (folder / "README.txt").write_text("about")
    data, said = opened(folder)
    assert [example.name for example in data] == ["cat/0.png", "golden retriever/0.png"]
    assert (data.total, len(data.unreadable)) == (5, 3)
    assert said[0] == "note: 1 files have no image suffix and are skipped: README.txt"
    assert said[1].startswith("note: 3 of 5 images cannot be read and are skipped: cat/1.png is truncated")
    assert "cat/2.png is empty (0 bytes)" in said[1] and "cat/thin.png is 1×3000000" in said[1]


def thin() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (1, 3_000_000)).save(stream, "PNG")
    return stream.getvalue()


def test_a_damaged_entry_of_a_zip_is_counted(tmp_path: Path) -> None:
    path = archive(fill(tmp_path / "pets", {"cat": 2}), ".zip")
    raw = bytearray(path.read_bytes())
    raw[raw.index(picture(1)) + 40] ^= 0xFF
    path.write_bytes(raw)
    data, said = opened(path)
    assert len(data) == 1 and "pets/cat/1.png: BadZipFile" in said[-1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such folder or file"),
        (lambda path: path.mkdir(), "contains no images: it is empty"),
        (lambda path: fill_text(path), r"its 1 files are of other types: notes\.txt"),
        (lambda path: path.write_bytes(b"PK\x03\x04rubbish"), "neither a folder nor a complete"),
        (lambda path: fill_broken(path), r"none of its images can be read; the first error: a\.png is empty"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(RequestError, match=words):
        opened(tmp_path / "data")


def fill_text(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("none")


def fill_broken(path: Path) -> None:
    path.mkdir()
    (path / "a.png").touch()


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_a_truncated_archive_is_refused(tmp_path: Path, kind: str) -> None:
    path = archive(fill(tmp_path / "pets", {"cat": 200}), kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RequestError, match=r"whole|truncated"):
        opened(path)


def test_a_limit_draws_evenly_reproducibly_and_nested() -> None:
    labels = [0] * 500 + [1] * 40 + [2] * 3
    chosen = draw(labels, 60, seed=0)
    assert chosen == sorted(set(chosen)) == draw(labels, 60, seed=0)
    counts = Counter(labels[index] for index in chosen)
    assert counts[2] == 3 and abs(counts[0] - counts[1]) <= 1
    assert set(draw(labels, 20, seed=0)) < set(chosen)
    assert draw(labels, 60, seed=1) != chosen
    assert draw([None] * 9, 4, seed=0) == draw([None] * 9, 4, seed=0) != [0, 1, 2, 3]
    assert draw(labels, None, seed=0) == draw(labels, 10_000, seed=0) == list(range(543))


def test_a_limit_applies_to_folders(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets", {"cat": 6, "golden retriever": 6})
    data = opened(folder, limit=4)[0]
    assert (len(data), data.total) == (4, 12)
    assert Counter(example.label for example in data) == {0: 2, 1: 2}
    with pytest.raises(RequestError, match="--limit 0"):
        opened(folder, limit=0)


def test_calibration_needs_no_classes_and_draws_evenly_from_folders(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", {"hare": 6, "fox": 6, "": 1})
    data, said = opened(folder, limit=5, classes=False)
    assert data.labels == (None,) * 5
    assert Counter(name.partition("/")[0] for name in data.names) in (Counter({"fox": 2, "hare": 2, "0.png": 1}),)
    assert said == []


def test_folders_are_offered_as_labels_where_those_are_unknown(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", {"train/hare": 1, "train/fox": 1})
    said = opened(folder, spec_for(numbered_labels(2)), classes=False)[1]
    assert said == [
        "note: mine has as many class folders as model has classes, whose names are unknown; "
        f"to name them fox, hare, in this order, pass --labels {folder}"
    ]
    assert opened(folder, spec_for(numbered_labels(3)), classes=False)[1] == []
    with pytest.raises(RequestError, match="2 of 2 folders are not classes") as caught:
        opened(folder, spec_for(numbered_labels(2)))
    assert f"--labels {folder}" in caught.value.hint


def test_a_file_name_that_is_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "pets") + b"\xe9"
    Path(os.fsdecode(folder)).mkdir()
    Path(os.fsdecode(folder + b"/\xe9.png")).write_bytes(picture(1))
    data, _ = opened(Path(os.fsdecode(folder)))
    assert data.title == "pets\\udce9" and len(data) == 1
    data.title.encode()


def test_the_embedded_images_are_encoded_without_loss() -> None:
    images = read_embedded("test")
    data = opened(None, spec_for(LABELS), 200)[0]
    assert (len(data), data.total, Counter(data.labels)) == (200, 10_000, dict.fromkeys(range(10), 20))
    for example in data:
        index = int(example.name.removeprefix("test-").removesuffix(".png"))
        assert example.data.startswith(b"\x89PNG") and example.label == images.labels[index]
        assert np.array_equal(read_image(example.data), images.rgb(index, index + 1)[0])


def test_other_models_bring_no_images() -> None:
    with pytest.raises(RequestError, match="no embedded test images for model") as caught:
        opened(None)
    assert "--data" in caught.value.hint


def test_an_annotations_file_beside_the_images_names_their_classes(tmp_path: Path) -> None:
    folder = tmp_path / "val" / "images"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / name)
    (tmp_path / "val" / "val_annotations.txt").write_text("a.png\tplain\t0\t0\t1\t1\nb.png\tKäse\t0\t0\t1\t1\n")
    dataset = open_dataset(tmp_path / "val", spec_for(("Käse", "plain")), tell=lambda note: None)
    assert dataset.labels == (1, 0)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_pointers_of_git_lfs_are_said_with_the_command_that_fetches_them(tmp_path: Path, mark: bytes) -> None:
    pointer = mark + b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for name, content in (("0.png", pointer), ("1.png", picture(9))):
        (tmp_path / name).write_bytes(content)
    said: list[str] = []
    assert len(open_dataset(tmp_path, PETS, tell=said.append)) == 1
    assert any("1 of 2 images cannot be read" in note and "git lfs pull" in note for note in said)
    (tmp_path / "1.png").write_bytes(pointer)
    with pytest.raises(RequestError, match="Git LFS pointer") as caught:
        open_dataset(tmp_path, PETS, tell=said.append)
    assert "git lfs pull" in caught.value.hint
