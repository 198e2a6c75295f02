"""Names for outputs: from people's files in the forms they have, and from ImageNet."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.core.errors import RequestError
from export.data.labels import imagenet_labels, imagenet_synsets, read_labels


def read(
    tmp_path: Path, content: str | bytes, outputs: int = 3, name: str = "labels.txt"
) -> tuple[tuple[str, ...], list[str]]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said: list[str] = []
    return read_labels(path, outputs, said.append), said


@pytest.mark.parametrize(
    "text",
    ["cat\ndög\nT-shirt/top", "cat\r\ndög\r\nT-shirt/top\r\n", "\ufeffcat \n dög\nT-shirt/top\n\n\n"],
    ids=["plain", "windows", "marked"],
)
def test_a_text_file_has_one_label_a_line(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (("cat", "dög", "T-shirt/top"), [])


@pytest.mark.parametrize(
    "content",
    [
        ["cat", "dog", "emu"],
        {"0": "cat", "1": "dog", "2": "emu"},
        {"2": "emu", "0": "cat", "1": "dog"},
        {"cat": 0, "dog": 1, "emu": 2},
        {"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "emu"]},
        {"architectures": ["ViT"], "id2label": {"0": "cat", "1": "dog", "2": "emu"}},
    ],
)
@pytest.mark.parametrize("name", ["labels.json", "labels.txt"])
def test_json_comes_in_the_forms_of_several_tools(tmp_path: Path, content: Any, name: str) -> None:
    assert read(tmp_path, json.dumps(content), name=name) == (("cat", "dog", "emu"), [])


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("cat\ndog\n", "labels.txt", "has 2 labels, but the model has 3 outputs"),
        ("", "labels.txt", "has 0 labels, but the model has 3 outputs"),
        ("cat\n\nemu\n", "labels.txt", "label 1 is empty"),
        (b"caf\xe9\n", "labels.txt", "not UTF-8 text: invalid byte at position 3"),
        ('["cat",', "labels.json", "is not JSON"),
        ('["cat", "", "emu"]', "labels.json", "label 1 is empty"),
        ('["cat", 7, "emu"]', "labels.json", "label 1 is 7, not text"),
        ('{"0": "cat", "1": "dog", "3": "emu"}', "labels.json", "missing: 2"),
        ("7", "labels.json", "contains a JSON int"),
    ],
)
def test_what_names_no_outputs_is_refused(tmp_path: Path, content: str | bytes, name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        read(tmp_path, content, name=name)
    assert name in caught.value.message


def test_a_text_file_may_begin_with_a_bracket(tmp_path: Path) -> None:
    assert read(tmp_path, "[unused]\ncat\ndog")[0] == ("[unused]", "cat", "dog")


def test_labels_that_occur_twice_are_said(tmp_path: Path) -> None:
    labels, said = read(tmp_path, "crane\nemu\ncrane\n")
    assert labels == ("crane", "emu", "crane")
    assert said == ["note: labels.txt repeats labels: crane"]


def test_imagenet_has_short_names_that_differ() -> None:
    labels = imagenet_labels(1000)
    assert labels is not None and len(labels) == len({label.casefold() for label in labels}) == 1000
    assert (labels[0], labels[2], labels[207]) == ("tench", "great white shark", "golden retriever")
    assert labels[134].startswith("crane: large long-necked wading bird") and labels[517].startswith("crane: lifts")
    assert (labels[264], labels[474]) == ("Cardigan, Cardigan Welsh corgi", "cardigan")
    synsets = imagenet_synsets(1000)
    assert synsets is not None and (synsets[0], len(synsets)) == ("n01440764", 1000)


def test_other_heads_have_no_imagenet_names() -> None:
    assert imagenet_labels(10) is None and imagenet_synsets(10) is None
