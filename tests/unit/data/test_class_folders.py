"""Which folder is the class, and which label its name means: exactly, in another spelling, or not at all."""

import unicodedata
from pathlib import Path

import pytest
from test_datasets import spec_for

from export.core.errors import RequestError
from export.data.labels.class_folders import match_folders, own_classes
from export.data.labels.known import imagenet_labels, numbered_labels

DATA = Path("mine")
PETS = ("fox", "hare", "golden retriever")


def matched(labels: tuple[str, ...], *names: str) -> tuple[list[int | None], list[str]]:
    said: list[str] = []
    return match_folders(DATA, names, spec_for(labels), said.append), said


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("fox/images/1.jpg", "hare/images/1.jpg"), [0, 1]),
        (("fox/1.jpg", "hare/images/deep/1.jpg"), [0, 1]),
        (("set/train/fox/a/1.jpg", "set/train/hare/b/1.jpg"), [0, 1]),
        (("fox/hare/1.jpg", "fox/images/1.jpg"), [0, 0]),
        (("1/fox/1.jpg", "1/hare/1.jpg"), [0, 1]),  # names before numbers
        (("0/images/1.jpg", "2/images/1.jpg"), [0, 2]),
    ],
)
def test_the_first_level_that_matches_is_the_class(names: tuple[str, ...], expected: list[int]) -> None:
    assert matched(PETS, *names) == (expected, [])


def test_a_lone_folder_named_as_a_label_is_no_class_above_class_folders() -> None:
    labels, said = matched(("birds", "robin", "owl"), "birds/robin/1.jpg", "birds/owl/1.jpg")
    assert labels == [1, 2] and said == ["note: folders such as owl are taken as classes, not those above or below"]


LANGUAGES = ("C", "C++", "C#", "Käse", "polish", "Polish", "T-shirt/top", "A-", "A+", "ice cream")


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("C", "C"),
        ("C++", "C++"),
        ("C#", "C#"),
        ("c++", "C++"),
        (unicodedata.normalize("NFD", "Käse"), "Käse"),
        (unicodedata.normalize("NFD", "KÄSE"), "Käse"),
        ("polish", "polish"),
        ("Polish", "Polish"),
        ("A+", "A+"),
        ("A-", "A-"),
        ("ice_cream", "ice cream"),
        ("Ice-Cream", "ice cream"),
    ],
)
def test_a_name_means_the_label_that_is_spelt_most_like_it(folder: str, label: str) -> None:
    assert matched(LANGUAGES, f"{folder}/1.jpg") == ([LANGUAGES.index(label)], [])


@pytest.mark.parametrize(
    ("folder", "label"), [("t-shirttop", "T-shirt/top"), ("03. Ice cream", "ice cream"), ("IceCream", "ice cream")]
)
def test_a_loose_match_is_said(folder: str, label: str) -> None:
    labels, said = matched(LANGUAGES, f"{folder}/1.jpg", "Käse/1.jpg")
    assert labels[0] == LANGUAGES.index(label)
    assert said == [f"note: folders are read as these labels: {folder} → {label}"]


@pytest.mark.parametrize(
    ("labels", "folder", "words"),
    [
        (LANGUAGES, "POLISH", "POLISH (may be polish or Polish)"),
        (LANGUAGES, "A", "A (may be A- or A+)"),
        (LANGUAGES, "C+", "C+ (may be C or C++ or C#)"),
        (("crane", "crane", "owl"), "crane", "crane (may be crane)"),
    ],
)
def test_a_name_that_may_mean_several_labels_is_refused(labels: tuple[str, ...], folder: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        matched(labels, f"{folder}/1.jpg", f"{labels[-1]}/1.jpg")
    assert words in caught.value.message


def test_two_folders_do_not_loosely_mean_one_label() -> None:
    with pytest.raises(RequestError, match="2 of 3 folders are not classes"):
        matched(("C++", "Java"), "C/1.jpg", "C#/1.jpg", "Java/1.jpg")
    with pytest.raises(RequestError, match="1 of 2 folders are not classes"):
        matched(("C++", "Java"), "C/1.jpg", "C++/1.jpg")


def test_two_spellings_of_one_class_are_said() -> None:
    assert matched(PETS, "Fox/1.jpg", "fox/1.jpg") == ([0, 0], ["note: the folders Fox, fox are all read as fox"])


def test_a_wordnet_id_may_be_followed_by_a_name() -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    names = ("n01440764-tench/1.jpg", "n01443537_goldfish/1.jpg", "n15075141/1.jpg")
    assert matched(labels, *names)[0] == [0, 1, 999]


def test_numbers_from_0_are_said_where_they_may_be_from_1() -> None:
    assert matched(PETS, "1/1.jpg", "2/1.jpg") == (
        [1, 2],
        ["note: folders are read as class numbers, counted from 0: 1 is hare"],
    )
    with pytest.raises(RequestError, match="3 of 3 folders are not classes"):
        matched(PETS, "1/1.jpg", "2/1.jpg", "3/1.jpg")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train/fox/1.jpg", "val/fox/1.jpg"), "several sets: train, val"),
        (("train/owl/1.jpg", "val/emu/1.jpg"), "several sets: train, val"),
        (("a/fox/1.jpg", "b/hare/1.jpg"), "several sets: a, b"),
        (("fox/1.jpg", "1.jpg"), "1 images without a class are next to the class folders fox"),
        (("fox/images/1.jpg", "har/images/1.jpg"), "1 of 2 folders are not classes of model: har (nearest: hare)"),
    ],
)
def test_what_is_no_set_of_class_folders_is_refused(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(RequestError) as caught:
        matched(PETS, *names)
    assert words in caught.value.message


def test_folders_have_classes_of_their_own() -> None:
    assert own_classes(DATA, ["b/1.jpg", "a/x/1.jpg", "b/y/2.jpg"]) == (("a", "b"), [1, 0, 1])
    assert own_classes(DATA, ["set/10/1.jpg", "set/2/1.jpg"]) == (("10", "2"), [0, 1])  # as torchvision sorts them
    assert own_classes(DATA, ["a/1.jpg"]) is own_classes(DATA, ["1.jpg"]) is None
    with pytest.raises(RequestError, match="several sets"):
        own_classes(DATA, ["train/a/1.jpg", "test/a/1.jpg"])
    with pytest.raises(RequestError, match="next to the class folders"):
        own_classes(DATA, ["a/1.jpg", "b/1.jpg", "1.jpg"])


def test_a_model_without_classes_says_when_folders_name_none() -> None:
    said: list[str] = []
    assert match_folders(DATA, ["1.jpg", "2.jpg"], spec_for(()), said.append) == [None, None]
    assert said == ["note: mine has no class folders on one level; its 2 images are used as unlabelled"]


def test_unknown_names_are_offered_as_labels_only_where_those_are_numbers() -> None:
    for labels, offered in ((numbered_labels(2), True), (numbered_labels(3), False), (("a", "b"), False)):
        with pytest.raises(RequestError) as caught:
            matched(labels, "owl/1.jpg", "emu/1.jpg")
        assert ("--labels mine" in caught.value.hint) is offered


def test_a_single_output_has_no_class_folders() -> None:
    assert matched(("ripe",), "ripe/1.jpg", "raw/1.jpg") == (
        [None, None],
        ["note: model has one output, so folders are no classes; the 2 images are used as unlabelled"],
    )


def test_wordnet_ids_name_the_classes_of_a_model_that_knows_some_of_imagenets() -> None:
    names = ("n07920052/1.jpg", "n01443537/2.jpg", "n04146614/3.jpg")
    assert matched(("goldfish", "school bus", "espresso"), *names) == ([2, 0, 1], [])


def test_wordnet_ids_mean_nothing_to_labels_that_are_not_imagenets() -> None:
    with pytest.raises(RequestError, match="are not classes"):
        matched(("goldfish", "my own"), "n01443537/1.jpg", "n04146614/2.jpg")


def test_folders_named_exactly_as_labels_are_classes_also_where_they_could_be_sets() -> None:
    assert matched(("test", "train"), "train/1.jpg", "test/2.jpg") == ([1, 0], [])
    with pytest.raises(RequestError, match="several sets"):
        matched(("test", "train"), "Train/1.jpg", "val/2.jpg")
