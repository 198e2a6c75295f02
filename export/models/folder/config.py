"""A JSON file of settings whose fields are read with a type, so that what is wrong with one is said by its name."""

import codecs
import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError, RequestError
from export.core.schema import parse_json
from export.data.signatures import read_head, recognise

MISSING: Any = object()
SHOWN = 60  # characters of a value that a message shows
UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls classes that nobody named
MOST = 100_000  # of a width or a count; far more would take all memory before it could be compared with the weights


def words(*texts: str) -> frozenset[str]:
    """Return the names in texts, where spaces separate them."""
    return frozenset(" ".join(texts).split())


class Config:
    """The object in a JSON file, or within another one; a field that is null counts as absent."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = {name: value for name, value in values.items() if value is not None}

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read a file, also with a byte order mark; raises `RequestError` when it is not a JSON object."""
        try:
            kind = recognise(read_head(path))
            if kind is not None:
                raise RequestError(f"{path} is {kind.title}", hint=kind.hint)
            values = parse_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
        except (OSError, ArtifactError) as error:
            raise RequestError(f"{path} cannot be read: {error}", hint="copy or download it again") from error
        if not isinstance(values, dict):
            raise RequestError(f"{path} holds a {type(values).__name__}, not an object", hint="copy it again")
        return cls(path, values)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field as it is."""
        return self.values.get(name, default)

    def fault(self, name: str, allowed: str, hint: str = "") -> RequestError:
        """Return the refusal of a field's value."""
        text = json.dumps(self.values.get(name), ensure_ascii=False, default=repr)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        return RequestError(f"{self.path}: {name} is {shown}; supported: {allowed}", hint=hint)

    def whole(self, name: str, default: int, most: int = MOST) -> int:
        """Return a whole number of 1 to `most`."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise self.fault(name, f"a whole number of 1 to {most}")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number above 0."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.fault(name, "a number above 0")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def wholes(self, name: str, default: Collection[int], most: int = MOST) -> tuple[int, ...]:
        """Return a list of whole numbers of 1 to `most`."""
        value = self.values.get(name, list(default))
        if not isinstance(value, list) or not value or not all(type(one) is int and 1 <= one <= most for one in value):
            raise self.fault(name, f"a list of whole numbers of 1 to {most}")
        return tuple(value)

    def side(self, name: str, default: int) -> int:
        """Return the side of a square, written as one number or as twice the same one."""
        value = self.values.get(name, default)
        if isinstance(value, dict) and value.keys() == {"height", "width"}:
            value = list(value.values())
        sides = value if isinstance(value, list) else [value]
        if not sides or not all(type(one) is int and one >= 1 for one in sides):
            raise self.fault(name, "a whole number of at least 1, or two that are equal")
        if len(sides) > 2 or len(set(sides)) > 1:
            raise self.fault(name, "two equal numbers", hint="only square images and patches are supported")
        return int(sides[0])

    def only(self, name: str, supported: Any, default: Any = MISSING) -> None:
        """Raise `RequestError` for a field that has another value than the one that is supported."""
        value = self.values.get(name, supported if default is MISSING else default)
        if value != supported:
            raise self.fault(name, json.dumps(supported), hint="this field changes the model's outputs")
