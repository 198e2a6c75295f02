"""Which pictures are trained on and which are held out, in the layouts that people have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import CLASSES, make_classes, make_picture, pack

from export.core.errors import RequestError
from export.core.records import Preprocess
from export.data.pictures.arrays import check_classes, model_inputs, training_pictures
from export.data.pictures.resumable import filling
from export.data.pictures.training_set import open_training_set

PREPROCESS = Preprocess(
    size=16, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


def tiny_imagenet(folder: Path) -> Path:
    """Write the layout of Tiny-ImageNet: WordNet ids, boxes, annotations of the validation, an unlabelled test set."""
    wnids = ("n01443537", "n02123045", "n07920052")
    for index, wnid in enumerate(wnids):
        for number in range(3):
            make_picture(folder / f"train/{wnid}/images/{wnid}_{number}.png", 50 + 60 * index, number)
        (folder / f"train/{wnid}/{wnid}_boxes.txt").write_text(f"{wnid}_0.png\t0\t0\t5\t5\n")
    lines = []
    for number in range(6):
        make_picture(folder / f"val/images/val_{number}.png", 50 + 60 * (number % 3), number)
        lines.append(f"val_{number}.png\t{wnids[number % 3]}\t0\t0\t5\t5\n")
    (folder / "val/val_annotations.txt").write_text("".join(lines))
    make_picture(folder / "test/images/test_0.png", 50, 0)
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_class_folders_are_split_by_a_seed_alike_in_a_folder_and_an_archive(tmp_path: Path, kind: str) -> None:
    data = make_classes(tmp_path / "data", 10)
    source = data if kind == "folder" else pack(data, tmp_path / f"packed.{kind}")
    with open_training_set(source, seed=3) as found:
        assert found.classes == found.labels == CLASSES
        assert len(found.train) == 27 and len(found.validation) == 3
        assert sorted(found.validation.targets) == [0, 1, 2]
        assert not set(found.train.names) & set(found.validation.names)
        assert found.held_out == "10 % of every class, drawn with seed 3"
        names = found.validation.names
    with open_training_set(data, seed=3) as again, open_training_set(data, seed=4) as other:
        assert sorted(again.validation.names) == sorted(names)
        assert sorted(other.validation.names) != sorted(names)


def test_tiny_imagenet_is_read_as_it_is_published(tmp_path: Path) -> None:
    notes: list[str] = []
    root = tiny_imagenet(tmp_path / "tiny-imagenet-200")
    with open_training_set(pack(root.parent, tmp_path / "tiny.zip"), tell=notes.append) as found:
        assert len(found.train) == 9 and len(found.validation) == 6
        assert found.validation.targets == (0, 1, 2, 0, 1, 2)
        assert found.labels == ("goldfish", "tabby", "espresso")
    assert any("test" in note and "left out" in note for note in notes)
    (root / "words.txt").write_text("n01443537\tfish, gold\nn02123045\tcat, tabby\nn07920052\tcat, strong\n")
    with open_training_set(root) as found:
        assert found.labels == ("fish", "cat, tabby", "cat, strong")


def test_training_and_validation_may_lie_in_two_archives(tmp_path: Path) -> None:
    root = tiny_imagenet(tmp_path / "tiny")
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        (root / name).rename(tmp_path / name / name)
        pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
    with open_training_set(tmp_path / "train.tar.gz", tmp_path / "val.tar.gz") as found:
        assert found.validation.targets == (0, 1, 2, 0, 1, 2) and found.held_out == "val.tar.gz"


def test_a_folder_named_train_may_be_a_class(tmp_path: Path) -> None:
    with open_training_set(make_classes(tmp_path / "data", 3, ("car", "plane", "train"))) as found:
        assert found.classes == ("car", "plane", "train")


def test_names_come_from_a_file_of_words(tmp_path: Path) -> None:
    data, words = make_classes(tmp_path / "data", 2), tmp_path / "words.txt"
    words.write_text("ant\tblack ant, formica\nbee\thoney bee\ncat\ttabby\n")
    with open_training_set(data, words=words) as found:
        assert found.labels == ("black ant", "honey bee", "tabby")
    words.write_text("ant\tblack ant\n")
    refuse("no name for 2 of 3 classes: bee, cat", data, words=words)


def refuse(message: str, data: Path, validation: Path | None = None, **options: Any) -> None:
    with pytest.raises(RequestError) as refusal, open_training_set(data, validation, **options):
        pass
    assert message in str(refusal.value)


def unlike(tmp_path: Path) -> Path:
    make_classes(tmp_path / "data/train", 2)
    make_classes(tmp_path / "data/val", 1, ("ant", "dog"))
    return tmp_path / "data"


def empty(tmp_path: Path) -> Path:
    (make_classes(tmp_path / "data", 2) / "dog").mkdir()
    return tmp_path / "data"


def beside(tmp_path: Path) -> Path:
    make_picture(make_classes(tmp_path / "data", 2) / "stray.png", 50, 0)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unlike, "dog: no class that is trained on"),
        (empty, "1 class folders have no pictures: dog"),
        (beside, "1 images without a class are next to the class folders"),
        (lambda path: make_classes(path / "data", 1), "class ant has 1 pictures, of which 1 would be held out"),
        (lambda path: make_classes(path / "data", 2, ("ant",)), "all 2 pictures are of one class, ant"),
        (lambda path: path, "contains no pictures"),
    ],
)
def test_sets_that_cannot_be_trained_on_are_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    refuse(words, make(tmp_path))


def test_a_share_to_hold_out_is_refused_where_there_is_a_validation(tmp_path: Path) -> None:
    data, held = make_classes(tmp_path / "data", 2), make_classes(tmp_path / "held", 1)
    refuse("--held-out 0.2 does not apply", data, held, held_out=0.2)
    refuse("--held-out 1.5 must lie between 0 and 1", data, held_out=1.5)


def test_pictures_are_decoded_once_and_broken_ones_left_out_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_classes(tmp_path / "data", 4)
    (data / "bee/1.png").write_bytes(b"no picture")
    (data / "cat/2.png").write_bytes((data / "cat/3.png").read_bytes()[:80])
    for _ in range(2):
        with open_training_set(data) as found:
            array = training_pictures(found.train, PREPROCESS, tmp_path / "cache")
            held = model_inputs(found.validation, PREPROCESS, tmp_path / "cache", "held-out pictures")
        total = len(found.train) + len(found.validation) - 2
        assert len(array) + len(held) == total == 10 and array.side == 18 and held.side == 16
        said = capsys.readouterr().out
        assert "cannot be decoded and are left out" in said and "png" in said
    assert len(list((tmp_path / "cache").glob("*-images.npy"))) == 2
    make_picture(data / "bee/1.png", 120, 9)
    with open_training_set(data) as found:
        again = training_pictures(found.train, PREPROCESS, tmp_path / "cache")
    assert again.digest != array.digest


def test_large_pictures_are_stored_at_eight_sevenths_and_small_ones_are_not_enlarged(tmp_path: Path) -> None:
    for index, name in enumerate(CLASSES):
        for number in range(3):
            make_picture(tmp_path / f"large/{name}/{number}.jpg", 50 + 60 * index, number, (300, 200))
            make_picture(tmp_path / f"small/{name}/{number}.png", 50 + 60 * index, number, (10, 12))
    for folder, side in (("large", 32), ("small", 10)):
        with open_training_set(tmp_path / folder) as found:
            wanted = Preprocess.from_json({**PREPROCESS.to_json(), "size": 28})
            assert training_pictures(found.train, wanted, tmp_path / "cache").side == side


def test_a_class_without_any_readable_picture_is_refused(tmp_path: Path) -> None:
    data = make_classes(tmp_path / "data", 3)
    for path in (data / "bee").iterdir():
        path.write_bytes(b"none")
    with open_training_set(data) as found:
        array = training_pictures(found.train, PREPROCESS, tmp_path / "cache")
        with pytest.raises(RequestError, match="none of the pictures of 1 classes can be decoded, such as bee"):
            check_classes(found.train, array)


def test_filling_an_array_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    with pytest.raises(KeyboardInterrupt), filling(path, (4, 2), "float32") as array:
        array.rows[:3] = 1
        array.marked.add(1)
        array.advance(3)
        raise KeyboardInterrupt
    assert not path.exists()
    with filling(path, (4, 2), "float32") as array:
        assert array.done == 3 and array.marked == {1} and array.rows[:3].all() and not array.rows[3].any()
    with filling(path, (5, 2), "float32") as array:
        assert array.done == 0
    assert path.exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("inner", ["", "data\\"])
def test_folders_that_windows_packed_are_trained_on_on_disk(tmp_path: Path, inner: str) -> None:
    make_classes(tmp_path / "made", 4)
    data = tmp_path / "flat"
    data.mkdir()
    for path in (tmp_path / "made").glob("*/*.png"):
        path.rename(data / f"{inner}{path.parent.name}\\{path.name}")
    with open_training_set(data, tell=lambda note: None) as pictures:
        assert pictures.classes == CLASSES and len(pictures.train) == 9


def test_folders_with_the_same_name_but_for_underscores_keep_theirs(tmp_path: Path) -> None:
    make_classes(tmp_path, 4, ("a_b", "a b", "c_d"))
    with open_training_set(tmp_path, tell=lambda note: None) as pictures:
        assert pictures.labels == ("a b", "a_b", "c d")


@pytest.mark.parametrize(
    ("classes", "words"), [(("Bag", "Bag "), "nothing but spaces: Bag"), (("K\udce4se", "Brot"), "is not UTF-8 text")]
)
def test_names_that_cannot_be_told_or_written_are_refused_before_training(
    tmp_path: Path, classes: tuple[str, ...], words: str
) -> None:
    make_classes(tmp_path, 4, classes)
    with pytest.raises(RequestError, match=words), open_training_set(tmp_path, tell=lambda note: None):
        pass
