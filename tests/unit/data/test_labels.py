"""Names for outputs: from people's files in the forms they have, and from ImageNet."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from export.core.errors import RequestError
from export.data.labels.known import imagenet_labels, imagenet_synsets
from export.data.labels.read import read_labels


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
        ('{"model": "x"}', "labels.json", "no list of labels under any of the keys"),
        ("7", "labels.json", "contains a JSON int"),
    ],
)
def test_what_names_no_outputs_is_refused(tmp_path: Path, content: str | bytes, name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        read(tmp_path, content, name=name)
    assert name in caught.value.message


def test_a_text_file_may_begin_with_a_bracket(tmp_path: Path) -> None:
    assert read(tmp_path, "[unused]\ncat\ndog")[0] == ("[unused]", "cat", "dog")


ABC = ("a", "b", "c")
ORDER = "note: labels are in the order of their numbers, {} to {} in labels.txt"


@pytest.mark.parametrize(
    "text",
    [
        "0 a\n1 b\n2 c",
        "2 c\n0 a\n1 b\n",
        "0: a\n1: b\n2: c",
        "0:a\n2:c\n1:b",
        "0,a\n1,b\n2,c",
        "0\ta\n1\tb\n2\tc",
        "0;a\n1;b\n2;c",
        "0=a\n1=b\n2=c",
        "0. a\n1. b\n2. c",
        "0.a\n1.b\n2.c",
        "0) a\n1) b\n2) c",
        "[0] a\n[1] b\n[2] c",
        "0 - a\n1 - b\n2 - c",
        "00 a\n01 b\n02 c",
        "0: 'a',\n1: 'b',\n2: 'c',",
        '0,"a"\n1,"b"\n2,"c"',
        "index,name\n1,b\n0,a\n2,c",
        '"0": "a",\n"1": "b",\n"2": "c"',
        '"a": 0,\n"b": 1,\n"c": 2',
        "0 -> a\n1 -> b\n2 -> c",
        "a => 0\nb => 1\nc => 2",
        "(0) a\n(1) b\n(2) c",
        "a (0)\nb (1)\nc (2)",
        "#0 a\n#1 b\n#2 c",
        "class 0: a\nclass 1: b\nclass 2: c",
        "LABEL_0 a\nLABEL_1 b\nLABEL_2 c",
        "a 0\nb 1\nc 2",
        "c,2\na,0\nb,1",
        "c\t2\na\t0\nb\t1",
        "name,index\nc,2\na,0\nb,1",
        "names:\n  0: a\n  1: b\n  2: c",
        '[[2, "c"], [0, "a"], [1, "b"]]',
        '[["c", 2], ["a", 0], ["b", 1]]',
        '{"id": 2, "name": "c"}\n{"id": 0, "name": "a"}\n{"id": 1, "name": "b"}',
        "[(2, 'c'), (0, 'a'), (1, 'b')]",
        "2-c\n0-a\n1-b",
        "2_c\n0_a\n1_b",
        "2/c\n0/a\n1/b",
        "2：c\n0：a\n1：b",
        "2.0 c\n0.0 a\n1.0 b",
    ],
)
def test_numbers_decide_the_order_and_that_is_said(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (ABC, [ORDER.format(0, 2)])


@pytest.mark.parametrize(
    "text",
    [
        "1 a\n2 b\n3 c",
        "3. c\n1. a\n2. b",
        "a,1\nc,3\nb,2",
        '{"1": "a", "3": "c", "2": "b"}',
        '[{"id": 3, "name": "c"}, {"id": 1, "name": "a"}, {"id": 2, "name": "b"}]',
    ],
)
def test_numbers_from_1_are_understood_and_said(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (ABC, [ORDER.format(1, 3)])


@pytest.mark.parametrize(
    "text",
    [
        "{0: 'a',\n 1: 'b',\n 2: 'c'}",
        "{2: 'c', 0: 'a', 1: 'b'}",
        "{'a': 0, 'c': 2, 'b': 1}",
        "['a', 'b', 'c']",
        "['a',\n 'b',\n 'c',\n]",
        "('a', 'b', 'c')",
        "classes = ['a', 'b', 'c']",
        "NAMES: list[str] = [\n  'a', 'b', 'c'\n]",
        "id2label = {0: 'a', 1: 'b', 2: 'c'}",
        '{"0": "a",\n "1": "b",\n "2": "c"}',
        '{"a": "0", "c": "2", "b": "1"}',
    ],
)
def test_python_and_json_as_text_are_understood(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (ABC, [])


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"label_names": ["a", "b", "c"], "epochs": 3}, "label_names"),
        ({"labels": ["a", "b", "c"]}, "labels"),
        ({"labels": 3, "names": {"0": "a", "1": "b", "2": "c"}}, "names"),
        ({"classes": {"a": 0, "b": 1, "c": 2}}, "classes"),
        ({"label2id": {"a": "0", "c": "2", "b": "1"}}, "label2id"),
        ({"pretrained_cfg": {"mean": [0.5], "label_names": ["a", "b", "c"]}}, "label_names"),
        ({"features": {"image": {}, "label": {"names": ["a", "b", "c"]}}}, "names"),
    ],
)
def test_labels_are_found_under_the_keys_of_tools(tmp_path: Path, content: Any, key: str) -> None:
    for text in (json.dumps(content), repr(content)):
        assert read(tmp_path, text) == (ABC, [f"note: using the labels under {key!r} in labels.txt"])


@pytest.mark.parametrize("text", ["names: [a, b, c]", "names:\n- a\n- b\n- c", "path: x\nnames: {0: a, 1: b, 2: c}"])
def test_yaml_is_understood(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text, name="data.yaml") == (ABC, ["note: using the labels under 'names' in data.yaml"])


@pytest.mark.parametrize("text", ['0: "a", 2: "c", 1: "b"', "0 a; 1 b; 2 c"])
def test_numbers_decide_the_order_in_a_single_line_too(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (ABC, ["note: labels are read from a single line in labels.txt", ORDER.format(0, 2)])


@pytest.mark.parametrize("text", ["dict(a=0, b=1, c=2)", "OrderedDict([(0, 'a'), (1, 'b')])", "['a' 'b' 'c']"])
def test_programs_are_no_labels(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match=r"has 1 (labels|numbered)"):
        read(tmp_path, text)


def test_yaml_values_stay_text(tmp_path: Path) -> None:
    assert read(tmp_path, "names: [no, 1.0, on]", name="data.yml")[0] == ("no", "1.0", "on")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a, b, c\n", "labels are read from a single line"),
        ("- a\n- b\n- c", "labels are read without their list marks"),
        ("'a',\n'b',\n'c'", "labels are read without their quotation marks"),
        ("n01440764 a\nn01443537 b\nn01484850 c", "labels are read without their WordNet ids"),
        ("a,\nb,\nc,", "labels are read without the signs at their ends"),
        ("a;\nb;\nc", "labels are read without the signs at their ends"),
    ],
)
def test_what_is_around_names_is_taken_off_and_said(tmp_path: Path, text: str, note: str) -> None:
    assert read(tmp_path, text) == (ABC, [f"note: {note} in labels.txt"])


@pytest.mark.parametrize(
    ("text", "column", "notes"),
    [
        ("id,name,count\n2,c,5\n0,a,6\n1,b,7", "name", [ORDER.format(0, 2)]),
        ('count;Label;name\n5;2;c\n6;0;"a"\n7;1;b', "name", [ORDER.format(0, 2)]),
        ("class\tcount\tcolour\na\t5\tred\nb\t6\tred\nc\t7\tblue", "class", []),
    ],
)
def test_columns_of_a_table_are_known_by_their_titles(tmp_path: Path, text: str, column: str, notes: list[str]) -> None:
    assert read(tmp_path, text) == (ABC, [f"note: using the labels in the column {column!r} in labels.txt", *notes])


@pytest.mark.parametrize(
    "names",
    [
        ("7-Eleven", "99 Ranch", "A&P"),
        ("0-9", "10-19", "20-29"),
        ("Boeing 737", "Boeing 747", "Airbus 320"),
        ("class 0", "class 1", "class 2"),
        ("3D printer", "2-door", "4x4"),
        ("7", "0", "3"),
        ("100 metres", "200 metres", "marathon"),
        ("1 euro", "2 euro", "5 euro"),
        ("(none)", "cat", "dog"),
        ("0.5 mm", "1.5 mm", "2.5 mm"),
        ("1-door", "2-door", "3-door"),
        ("2-c", "3-c", "5-a"),
        ("1/2", "2/3", "3/4"),
    ],
)
def test_numbers_that_are_part_of_names_stay(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read(tmp_path, "\n".join(names))[0] == names
    assert read(tmp_path, json.dumps(names))[0] == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 a\n1 b\n3 c", "has 3 numbered entries, which need the ids 0 to 2; missing: 2"),
        ("0: a\n0: b\n1: c", "missing: 2"),
        ("a,0\nb,2\nc,4", "missing: 1"),
        ("{'a', 'b', 'c'}", "a set has no order"),
        ('{"0": "a",\n"1": "b",\n"2": "c"', "neither JSON nor a Python list or dict"),
        ("[a, b, c]", "neither JSON nor a Python list or dict"),
        ('{"epochs": 3.5, "model": "x"}', "its keys: epochs, model"),
        ('[{"x": 1}, {"x": 2}, {"x": 3}]', "a list of dicts without a name; their keys: x"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html>\n</html>", "is a web page"),
        ("{\\rtf1 a}\nb\nc", "is an RTF document"),
    ],
)
def test_what_may_mean_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(tmp_path, text)
    assert words in caught.value.message and caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_byte_order_marks_tell_the_encoding(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    assert read(tmp_path, (mark + "a\r\nb\r\nKäse\r\n").encode(encoding))[0] == ("a", "b", "Käse")


def test_class_folders_name_the_classes(tmp_path: Path) -> None:
    for name in ("train/b", "train/a", "train/10"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").touch()
    said: list[str] = []
    assert read_labels(tmp_path / "train", 3, said.append) == ("10", "a", "b")
    assert said == ["note: the classes are named after the folders of train, in their order: 10, a, b"]
    with pytest.raises(RequestError, match="has 3 labels, but the model has 4 outputs"):
        read_labels(tmp_path, 4, said.append)
    with pytest.raises(RequestError, match="has no class folders"):
        read_labels(tmp_path / "train/a", 4, said.append)


def test_one_output_has_one_label(tmp_path: Path) -> None:
    assert read(tmp_path, "ripe", outputs=1) == (("ripe",), [])
    with pytest.raises(RequestError, match="has 2 labels, but the model has 1 outputs") as caught:
        read(tmp_path, "raw\nripe", outputs=1)
    assert "whose probability it gives" in caught.value.hint


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


SHUFFLED_TABLES = {
    "idx,name,count": "2,c,5\n0,a,6\n1,b,7",
    "class_index;name;count": "2;c;5\n0;a;6\n1;b;7",
    "name\ttarget\tcolour": "c\t2\tred\na\t0\tred\nb\t1\tblue",
    "ClassId,Name,Meta": "2,c,5\n0,a,6\n1,b,7",
    "class id,class name,x": "2,c,5\n0,a,6\n1,b,7",
    "#,name,count": "2,c,5\n0,a,6\n1,b,7",
    ",name,count": "2,c,5\n0,a,6\n1,b,7",
    ",name,colour": "2.0,c,red\n0.0,a,red\n1.0,b,blue",
    '"name","index"': '"c","2"\n"a","0"\n"b","1"',
    "| id | name |\n|----|:----:|": "| 2 | c |\n| 0 | a |\n| 1 | b |",
}


@pytest.mark.parametrize("head", SHUFFLED_TABLES)
def test_the_column_that_is_an_index_orders_a_table(tmp_path: Path, head: str) -> None:
    labels, said = read(tmp_path, f"{head}\n{SHUFFLED_TABLES[head]}")
    assert labels == ABC and ORDER.format(0, 2) in said


@pytest.mark.parametrize(
    "text",
    [
        '"c","2"\n"a","0"\n"b","1"',
        "| 2 | c |\n| 0 | a |\n| 1 | b |",
        "2,c,\n0,a,\n1,b,",
        "output 2: c\noutput 0: a\noutput 1: b",
        "c2: c\nc0: a\nc1: b",
        "cls_2: c\ncls_0: a\ncls_1: b",
        "labels[2] = 'c'\nlabels[0] = 'a'\nlabels[1] = 'b'",
        "2 — c\n0 — a\n1 — b",
    ],
)
def test_numbers_order_lines_of_other_shapes(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (ABC, [ORDER.format(0, 2)])


def test_numbers_behind_wordnet_ids_order_lines(tmp_path: Path) -> None:
    labels, said = read(tmp_path, "n02119789 3 c\nn02100735 1 a\nn02110185 2 b")
    assert labels == ABC
    assert said == ["note: labels are read without their WordNet ids in labels.txt", ORDER.format(1, 3)]


@pytest.mark.parametrize("key", ["idx", "label", "value", "class", "classId", "anything"])
def test_the_numbers_of_records_order_them(tmp_path: Path, key: str) -> None:
    records = [{key: 2, "name": "c"}, {key: 0, "name": "a"}, {key: 1, "name": "b"}]
    assert read(tmp_path, json.dumps(records)) == (ABC, [ORDER.format(0, 2)])


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({"class_to_idx": {"1": "0", "2": "1", "0": "2"}}, ("1", "2", "0")),
        ({"label2id": {"1": 0, "2": 1, "0": 2}}, ("1", "2", "0")),
        ({"id2label": {"1": "0", "2": "1", "0": "2"}}, ("2", "0", "1")),
        ({"0": 0, "1": 1, "10": 2}, ("0", "1", "10")),
        ({"0.0": "a", "2.0": "c", "1.0": "b"}, ABC),
        ({"ids": [2, 0, 1], "names": ["c", "a", "b"]}, ABC),
        ([["id", "name"], [2, "c"], [0, "a"], [1, "b"]], ABC),
        ({"idx2label": {"2": "c", "0": "a", "1": "b"}}, ABC),
        ({"classNames": ["a", "b", "c"]}, ABC),
        (
            {"features": [{"name": "image"}, {"name": "label", "dtype": {"class_label": {"names": ["a", "b", "c"]}}}]},
            ABC,
        ),
    ],
)
def test_json_says_which_numbers_are_the_ids(tmp_path: Path, content: Any, labels: tuple[str, ...]) -> None:
    assert read(tmp_path, json.dumps(content), name="labels.json")[0] == labels


def test_a_python_module_of_one_list_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '"""Names."""\nNAMES = [\n"a", "b",\n"c"]', outputs=3) == (ABC, [])
    assert read(tmp_path, '"""Names."""\nNAMES = [\n"a", "b",\n"c", "d"]', outputs=4)[0] == (*ABC, "d")


def test_a_title_above_a_single_column_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, "label\na\nb\nc")[0] == ABC


DOUBTFUL = {
    "C2 c\nC0 a\nC1 b": "in another order than the lines",
    "0x1 b\n0x0 a\n0x2 c": "in another order than the lines",
    "n01,2,c\nn00,0,a\nn02,1,b": "in another order than the lines",
    "Class 2\nClass 0\nClass 1": "in another order than the lines",
    "Golf 3\nGolf 2\nAudi 1": "in another order than the lines",
    "0 a\n-1 none\n1 b": "in another order than the lines",
    "2,0,c\n0,1,a\n1,2,b": "order its labels differently",
    "case 2: return 'c';\ncase 0: return 'a';\ncase 1: return 'b';": "looks like code",
    '"""doc"""\n"a", "b",\n"c", "d"]': "looks like code",
    "import this\nprint('a')\nprint('b')": "looks like code",
    "# classes\na\nb": "looks like a comment",
    "<l id='0'>a</l>\n<l id='1'>b</l>\n<l id='2'>c</l>": "looks like XML",
    "<li>a\n<li>b\n<li>c": "looks like XML",
    "names:\n- a\n- b": "looks like YAML",
    "import x\nA = ['a', 'b', 'c']\nB = ['d']": "a Python program with 2 lists",
    "id,name\n0,a\n1,b": "has 2 labels, but the model has 3",
    "id,nom,couleur\n0,a,rouge\n1,b,bleu\n2,c,bleu": "column of names cannot be told",
    '{"0": "2", "1": "0", "2": "1"}': "which of them are the ids cannot be told",
    '[["a", "x"], ["b", "y"], ["c", "z"]]': "has several values for one output",
    '{"0": ["cat", "felid"], "1": ["dog", "canid"], "2": ["emu", "bird"]}': "has several values for one output",
    '{"order": [2, 0, 1], "names": ["c", "a", "b"]}': "may be the order of the labels",
    '[{"id": 1, "name": "b"}, {"name": "a"}, {"name": "c"}]': "in some of its dicts",
    "a\0\nb\nc": "has NUL bytes",
    "a\x1b\nb\nc": "has a control character",
    '["a", "\\ud83d", "c"]': "is not UTF-8 text",
}


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_may_be_in_another_order_or_no_names_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(tmp_path, text)
    assert DOUBTFUL[text] in caught.value.message and caught.value.hint


def test_names_sorted_as_folders_are_may_end_in_any_number(tmp_path: Path) -> None:
    names = sorted(str(number) for number in range(12))
    assert read(tmp_path, "\n".join(names), outputs=12) == (tuple(names), [])


def test_text_in_other_encodings_without_a_mark_is_refused(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-32"):
        with pytest.raises(RequestError, match="has NUL bytes"):
            read(tmp_path, "cat\ndog\nemu\n".encode(encoding))


def test_class_folders_whose_names_are_not_utf8_are_refused(tmp_path: Path) -> None:
    for folder in (b"K\xe4se", b"Brot"):
        path = Path(os.fsdecode(os.fsencode(tmp_path / "data") + b"/" + folder))
        path.mkdir(parents=True)
        (path / "0.png").touch()
    with pytest.raises(RequestError, match="is not UTF-8 text") as caught:
        read_labels(tmp_path / "data", 2, [].append)
    assert "convmv" in caught.value.hint and caught.value.message.isascii()


def test_archives_of_labels_are_known_by_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "folders"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("b/0.png", "a/0.png"):
            archive.writestr(name, b"")
    assert read_labels(path, 2, [].append) == ("a", "b")
    pointer = tmp_path / "folders.zip"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "ascii")
    with pytest.raises(RequestError, match=r"--labels .* it is a Git LFS pointer") as caught:
        read_labels(pointer, 2, [].append)
    assert "git lfs pull" in caught.value.hint and "--data" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["a,0\nb,1\nc,2\nd,3", "n01440764,a\nn01443537,b\nn01484850,c\nn01491361,d", "a,x\nb,y\nc,z\nd,w"]
)
def test_a_row_too_many_is_no_title_by_that_alone(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match="has 4 labels, but the model has 3 outputs"):
        read(tmp_path, text)


@pytest.mark.parametrize("line", ["{0}: {1}", "{0},{1}", "{0}\tn{0:08}\t{1}"])
def test_a_few_numbered_names_may_repeat(tmp_path: Path, line: str) -> None:
    names = ["crane", *(f"bird {chr(97 + at)}" for at in range(20)), "crane"]
    shuffled = [line.format(at, names[at]) for at in reversed(range(len(names)))]
    labels, said = read(tmp_path, "\n".join(shuffled), outputs=len(names))
    assert labels == tuple(names)
    assert said[-2:] == [ORDER.format(0, 21), "note: labels.txt repeats labels: crane"]


def test_imagenets_own_lists_are_read_in_the_forms_they_come_in(tmp_path: Path) -> None:
    names, synsets = imagenet_labels(1000), imagenet_synsets(1000)
    assert names is not None and synsets is not None
    wanted = tuple(" ".join(name.split()) for name in names)
    for line in ("{name}", "{synset} {name}", "{at}: {name}", "{at}\t{name}", "{synset} {at} {name}"):
        rows = [
            line.format(at=at, synset=synset, name=name)
            for at, (synset, name) in enumerate(zip(synsets, names, strict=True))
        ]
        assert read(tmp_path, "\n".join(rows), 1000)[0] == wanted, line


@pytest.mark.parametrize(
    "names",
    [
        (":)", ":(", ":|"),
        ("[unused]", "<unk>", "{none}"),
        ("import duty", "class clown", "case study"),
        ("Bag (large)", "Hat (small)", "C++"),
        ("Apple, red", "Banana, yellow", "Cherry, red"),
    ],
)
def test_names_with_signs_of_programs_stay(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read(tmp_path, "\n".join(names)) == (names, [])
