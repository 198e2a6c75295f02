"""What people write into a file of labels: lines, numbered lines, JSON, YAML, or a Python dict or list as text."""

import ast
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORMS = 'one label per line, or JSON: a list, or {"0": "label", …}'
# Where tools put the names in a JSON or YAML file, the surest first: timm, Hugging Face, torchvision, Ultralytics …
KEYS = (
    "id2label",
    "idx_to_class",
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
    "pretrained_cfg",
)
NAME_KEYS, ID_KEYS = ("name", "label", "class_name", "title"), ("id", "index", "class_id", "label_id")
# A number and a name: the number with what sets it apart, before or after. A hyphen needs space around it: 7-Eleven.
SEPARATOR = r"(?:\s*(?:[-=]>|→|[:;,=|\t)\]])\s*|\.\s*(?=[^\d\s])|\s+-\s+|\s+)"
NUMBER = r"""[\[("'#]?(?:(?:class|label|index|idx|id)[ _])?(?P<number>\d+)["']?"""
NUMBER_FIRST = re.compile(rf"{NUMBER}{SEPARATOR}(?P<name>.*\S)", re.IGNORECASE)
NUMBER_LAST = re.compile(r"(?P<name>.*\S)\s*(?:[-=]>|→|[:;,=|\t(\[])\s*(?P<number>\d+)[)\]]?,?")
NUMBER_LAST_APART = re.compile(r"(?P<name>.*\S)\s+(?P<number>\d+)")
# What sets numbers apart, but may also be part of names: 2-door, 24/7. Only a complete index tells.
NUMBER_FIRST_TIGHT = re.compile(r"(?P<number>\d+)(?:\s*[-–—_/~：．、]\s*|\.0+(?:\s+|\s*[,;:]\s*))(?P<name>[^\W\d_].*)")
QUOTED = re.compile(r"""(?P<quote>['"])(?P<name>(?:(?!(?P=quote)).)*)(?P=quote),?""")
BRACKETED = re.compile(r"[\[{][^\[\]{}'\",:]+[\]}].*")  # a line such as [unused], or [0] cat
# Lines with numbers, and whether those can also be part of the names.
LINES = ((NUMBER_FIRST, False), (NUMBER_LAST, False), (NUMBER_LAST_APART, True), (NUMBER_FIRST_TIGHT, True))
# What lines of names may have around them, if all of them have it.
ORNAMENTS = (
    (QUOTED, "quotation marks"),
    (re.compile(r"[-*•]\s+(?P<name>.*)"), "list marks"),
    (re.compile(r"n\d{8}\s+(?P<name>.*)"), "WordNet ids"),
)
ASSIGNED = re.compile(r"\s*[A-Za-z_]\w*\s*(?::\s*[\w\[\], ]+)?=\s*(?=[\[{(])")


class NotLabels(ValueError):  # noqa: N818 - it is no error until someone says whose file it is
    """The content is no list of labels; the message completes "the file …", and says what was found."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The `values`, in the order of the model's outputs, with `notes` on what was understood where there was a choice.

    Values are text where the file is as it should be.
    """

    values: list[Any]
    notes: tuple[str, ...] = ()


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
    return _from_lines([line.strip() for line in text.rstrip().splitlines()], outputs)


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
    key, value = found
    parsed = _from_dict(value) if isinstance(value, dict) else _from_list(list(value))
    notes = () if key in ("", "id2label") else (f"note: using the labels under {key!r}",)
    return Parsed(parsed.values, notes + parsed.notes)


def _names_in(content: Any, depth: int = 3) -> tuple[str, Any] | None:
    """Return the first list of names, or dict of names by index, with the key that it is under."""
    if isinstance(content, list | tuple) or (isinstance(content, dict) and _numbered(content)):
        return "", content
    if isinstance(content, dict) and depth:
        for key in KEYS:
            found = _names_in(content[key], depth - 1) if key in content else None
            if found is not None:
                return found[0] or key, found[1]
    return None


def _numbered(content: dict[Any, Any]) -> bool:
    """Return whether all keys, or all values, are indices."""
    return bool(content) and (all(map(_is_index, content)) or all(map(_is_index, content.values())))


def _is_index(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool) and value >= 0) or (
        isinstance(value, str) and value.strip().isdecimal()
    )


def _from_dict(content: dict[Any, Any]) -> Parsed:
    if all(map(_is_index, content)):
        pairs = [(int(key), _name(value)) for key, value in content.items()]
    else:  # torchvision's class_to_idx
        pairs = [(int(value), key) for key, value in content.items()]
    return _in_order(pairs, said=False)


def _from_list(content: list[Any]) -> Parsed:
    if content and all(isinstance(value, dict) for value in content):
        return _from_records(content)
    paired = [value for value in content if isinstance(value, list | tuple) and len(value) == 2]
    if content and len(paired) == len(content):
        for first, second in ((0, 1), (1, 0)):
            if all(_is_index(pair[first]) for pair in paired):
                return _in_order([(int(pair[first]), pair[second]) for pair in paired], said=True)
    return Parsed([_name(value) for value in content])


def _from_records(records: Sequence[dict[str, Any]]) -> Parsed:
    """Read what data sets call categories: [{"id": 0, "name": …}, …]."""
    name = next((key for key in NAME_KEYS if all(key in record for record in records)), None)
    index = next((key for key in ID_KEYS if all(_is_index(record.get(key)) for record in records)), None)
    if name is None:
        raise NotLabels(f"is a list of dicts without a name; their keys: {', '.join(map(str, records[0]))}")
    if index is None:
        return Parsed([record[name] for record in records])
    return _in_order([(int(record[index]), record[name]) for record in records], said=True)


def _name(value: Any) -> Any:
    """Return the name of a pair (WordNet id, name), as torchvision's ImageNet index has them."""
    return value[-1] if isinstance(value, list | tuple) and value else value


def _in_order(pairs: Sequence[tuple[int, Any]], *, said: bool) -> Parsed:
    """Return the names by their numbers, which must be 0 … K-1 or 1 … K; with `said`, note that they decide."""
    indices = sorted(index for index, _ in pairs)
    for start in (0, 1):
        if indices == list(range(start, start + len(pairs))):
            values = [name for _, name in sorted(pairs, key=lambda pair: pair[0])]
            notes = [f"note: labels are in the order of their numbers, {start} to {indices[-1]}"] * (said or start > 0)
            return Parsed(values, tuple(notes))
    missing = [str(index) for index in range(len(pairs)) if index not in set(indices)]
    raise NotLabels(
        f"has {len(pairs)} numbered entries, which need the ids 0 to {len(pairs) - 1}; "
        f"missing: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}"
    )


def _from_lines(lines: Sequence[str], outputs: int) -> Parsed:
    if len(lines) == 1 and outputs > 1 and not re.search(r"[\[\](){}]", lines[0]):
        for sign in (",", ";", "\t"):
            names = [name.strip() for name in lines[0].strip(sign).split(sign)]
            if len(names) == outputs:
                listed = _from_lines(names, outputs)
                return Parsed(listed.values, ("note: labels are read from a single line", *listed.notes))
    table = _from_table(lines) if len(lines) == outputs + 1 else None
    if table is not None:
        return table
    headed = len(lines) == outputs + 1 and len(lines) > 2  # perhaps, as in index,name
    for pattern, optional in LINES:
        for body in (lines, lines[1:]) if headed else (lines,):
            parsed = _from_numbered_lines(body, pattern, optional=optional)
            if parsed is not None:
                return parsed
    for pattern, title in ORNAMENTS:
        matched = [found["name"].strip() for line in lines if (found := pattern.fullmatch(line))]
        if lines and len(matched) == len(lines):
            return Parsed(matched, (f"note: labels are read without their {title}",))
    if len(lines) > 2 and all(line.endswith((",", ";")) for line in lines[:-1]):
        bare = [line.removesuffix(lines[0][-1]).strip() for line in lines]
        return Parsed(bare, ("note: labels are read without the signs at their ends",))
    return Parsed(list(lines))


def _from_table(lines: Sequence[str]) -> Parsed | None:
    """Read lines of three columns or more whose first one names the columns; None where it does not.

    Two columns need no names to be understood.
    """
    for sign in (",", ";", "\t"):
        head, *rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=sign)]
        if len(head) < 3 or any(len(row) != len(head) for row in rows):
            continue
        columns = dict(zip([title.casefold() for title in head], map(list, zip(*rows, strict=True)), strict=False))
        numbered = {title: cells for title, cells in columns.items() if all(map(_is_index, cells))}
        name = next((title for title in (*NAME_KEYS, "class") if title in columns.keys() - numbered.keys()), None)
        if name is None:
            continue
        note = f"note: using the labels in the column {name!r}"
        index = next((title for title in (*ID_KEYS, "label", "class") if title in numbered), None)
        if index is None:
            return Parsed(columns[name], (note,))
        parsed = _in_order(list(zip(map(int, numbered[index]), columns[name], strict=True)), said=True)
        return Parsed(parsed.values, (note, *parsed.notes))
    return None


def _from_numbered_lines(lines: Sequence[str], pattern: re.Pattern[str], *, optional: bool) -> Parsed | None:
    """Read lines that all have a number; None where they have not.

    Numbers that are part of the names repeat names when taken away, or (where `optional`) are no complete index.
    """
    matched = [found for line in lines if (found := pattern.fullmatch(line))]
    pairs = [(int(found["number"]), _unquoted(found["name"])) for found in matched]
    if not pairs or len(pairs) < len(lines) or len({name for _, name in pairs}) < len(pairs):
        return None
    try:
        return _in_order(pairs, said=True)
    except NotLabels:
        if optional:
            return None
        raise


def _unquoted(text: str) -> str:
    found = QUOTED.fullmatch(text.strip())
    return found["name"].strip() if found else text.strip().removesuffix(",").strip()
