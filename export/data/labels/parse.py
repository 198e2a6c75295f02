"""What people write into a file of labels: lines, tables, JSON, YAML, or a Python dict or list as text."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from export.data.labels.lines import parse_lines
from export.data.labels.parsed import NotLabels, Parsed, as_indices, complete_index, in_order
from export.data.labels.tables import ID_TITLES, from_records, from_rows, plain_title

FORMS = 'one label per line, or JSON: a list, or {"0": "label", …}'
# Where tools put the names in a JSON or YAML file, the surest first: timm, Hugging Face, torchvision, Ultralytics …
KEYS = (
    "id2label",
    "idx_to_class",
    "idx2label",
    "label_names",
    "class_names",
    "classes",
    "labels",
    "names",
    "label2id",
    "class_to_idx",
    "class_indices",
    "categories",
    "label",
    "features",
    "dataset_info",
    "dtype",
    "class_label",
    "pretrained_cfg",
)
# Keys of dicts by name, and of dicts by index: what the values are where both they and the keys are numbers.
BY_NAME, BY_INDEX = ("label2id", "classtoidx", "classindices"), ("id2label", "idxtoclass", "idx2label")
DEPTH = 6  # of dicts in dicts, as in the card of a data set
BRACKETED = re.compile(r"[\[{][^\[\]{}'\",:]+[\]}].*")  # a line such as [unused], or [0] cat
ASSIGNED = re.compile(r"\s*[A-Za-z_]\w*\s*(?::\s*[\w\[\], ]+)?=\s*(?=[\[{(])")
SYNSET = re.compile(r"n\d+")


def parse_labels(text: str, kind: str, outputs: int) -> Parsed:
    """Read the text of a file whose suffix is `kind`; raises `NotLabels`."""
    if kind in (".yaml", ".yml"):
        return parse_content(_yaml(text))
    begin = ASSIGNED.match(text)
    body = text[begin.end() :] if begin else text
    if kind == ".json" or body.lstrip()[:1] in ("[", "{", "("):
        content, fault = _literal(body)
        if not fault:
            return parse_content(content)
        if kind == ".json" or not (body.lstrip()[0] == "(" or BRACKETED.match(body.lstrip().splitlines()[0])):
            raise NotLabels(
                f"is {'not JSON' if kind == '.json' else 'neither JSON nor a Python list or dict'}: {fault}"
            )
    program = _program(text)
    if program:
        return parse_content(program)
    return parse_lines([line.strip() for line in text.rstrip().splitlines()], outputs)


def _literal(text: str) -> tuple[Any, str]:
    """Return what a text of JSON, of lines of JSON or of a Python literal holds, or what is wrong with it."""
    try:
        return json.loads(text), ""
    except ValueError as error:
        fault = str(error)
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()], ""
    except ValueError:
        pass
    try:
        content = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None, fault
    return content, ("a set has no order" if isinstance(content, set | frozenset) else "")


def _program(text: str) -> Any:
    """Return the only list, tuple or dict that a Python module assigns; None where the text is no such module."""
    try:
        body = ast.parse(text).body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    values = [node.value for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
    held = [value for value in values if isinstance(value, ast.List | ast.Tuple | ast.Dict)]
    if len(held) > 1:
        raise NotLabels(f"is a Python program with {len(held)} lists or dicts")
    try:
        return ast.literal_eval(held[0]) if held else None
    except ValueError as error:
        raise NotLabels(f"is a Python program whose list or dict is computed: {error}") from error


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, yaml.BaseLoader)  # every value stays text: no, on and 1.0 are names too
    except yaml.YAMLError as error:
        raise NotLabels(f"is not YAML: {' '.join(str(error).split())}") from error


def parse_content(content: Any) -> Parsed:
    """Read what a JSON or YAML file, or another one, holds; raises `NotLabels`."""
    found = _names_in(content)
    if found is None:
        if isinstance(content, dict):
            keys = ", ".join(str(key) for key in list(content)[:8]) + (" …" if len(content) > 8 else "")
            raise NotLabels(f"has no list of labels under any of the keys {', '.join(KEYS)}; its keys: {keys}")
        raise NotLabels(f"contains a JSON {type(content).__name__}")
    key, value, holder = found
    parsed = _from_dict(key, value) if isinstance(value, dict) else _from_list(list(value))
    if not isinstance(value, dict):
        parsed = _ordered_beside(parsed, key, holder)
    notes = () if key in ("", "id2label") else (f"note: using the labels under {key!r}",)
    return Parsed(parsed.values, notes + parsed.notes)


def _names_in(content: Any, depth: int = DEPTH) -> tuple[str, Any, Mapping[Any, Any]] | None:
    """Return the first list of names, or dict of names by index, with the key that it is under and what holds it."""
    if isinstance(content, list | tuple) or (isinstance(content, dict) and _numbered(content)):
        return "", content, {}
    if not (isinstance(content, dict) and depth):
        return None
    own = {plain_title(key): key for key in content}
    for key in (own[title] for title in map(plain_title, KEYS) if title in own):
        inner = content[key]
        found = _in_features(inner, depth - 1) if key == "features" else _names_in(inner, depth - 1)
        if found is not None:
            return found if found[0] else (str(key), found[1], content)
    return None


def _in_features(content: Any, depth: int) -> tuple[str, Any, Mapping[Any, Any]] | None:
    """Return the names of the only feature of a data set that has any, of those that its card lists."""
    if not isinstance(content, list | tuple):
        return _names_in(content, depth)
    found = [names for feature in content if isinstance(feature, dict) and (names := _names_in(feature, depth))]
    if len(found) > 1:
        raise NotLabels(f"has {len(found)} features with names of classes")
    return found[0] if found else None


def _numbered(content: Mapping[Any, Any]) -> bool:
    """Return whether all keys, or all values, are indices."""
    return as_indices(list(content)) is not None or as_indices(list(content.values())) is not None


def _from_dict(key: str, content: Mapping[Any, Any]) -> Parsed:
    keys, values = list(content), list(content.values())
    by_key, by_value = as_indices(keys), as_indices(values)
    if by_key and by_value and _is_by_name(key, keys, values):
        return in_order(by_value, list(map(str, keys)), said=False)
    if by_key:
        return in_order(by_key, [_name(value) for value in values], said=False)
    return in_order(by_value or [], keys, said=False)  # torchvision's class_to_idx


def _is_by_name(key: str, keys: Sequence[Any], values: Sequence[Any]) -> bool:
    """Say whether the values of a dict of numbers by numbers are the ids, as those of folders named by numbers are."""
    if plain_title(key) in (*BY_NAME, *BY_INDEX):
        return plain_title(key) in BY_NAME
    by_key, by_value = complete_index(keys), complete_index(values)
    if by_key and by_value and by_key != by_value:
        raise NotLabels("maps numbers to numbers: which of them are the ids cannot be told")
    return by_value is not None


def _from_list(content: list[Any]) -> Parsed:
    if content and all(isinstance(value, dict) for value in content):
        return from_records(content)
    if content and all(isinstance(value, list | tuple) and len(value) > 1 for value in content):
        table = from_rows(content, None)
        if table is not None:
            return table
    return Parsed([_name(value) for value in content])


def _ordered_beside(parsed: Parsed, key: str, holder: Mapping[Any, Any]) -> Parsed:
    """Return names in the order of a list of numbers beside theirs, as in {"ids": […], "names": […]}."""
    lists = {str(title): value for title, value in holder.items() if isinstance(value, list | tuple) and title != key}
    for title, value in lists.items():
        indices = complete_index(value)
        if indices is None or len(indices) != len(parsed.values) or indices == sorted(indices):
            continue
        if parsed.notes or plain_title(title).removesuffix("s") not in ID_TITLES:
            raise NotLabels(f"has numbers under {title!r} that may be the order of the labels under {key!r}")
        parsed = in_order(indices, parsed.values, said=True)
    return parsed


def _name(value: Any) -> Any:
    """Return the name of a pair (WordNet id, name), as torchvision's ImageNet index has them."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) == 2 and SYNSET.fullmatch(str(value[0])):
        return value[1]
    raise NotLabels(f"has several values for one output, of which none is known to be its name: {list(value)!r:.80}")
