"""The base of the records: JSON in, checked against each field's type and range; JSON out, key by key as declared."""

import difflib
import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from export.core.errors import ArtifactError

# Numbers are finite and of 64 bits; a whole one stays whole, so that what is read is written again unchanged.
INT_LIMIT, FLOAT_LIMIT = 2**63 - 1, sys.float_info.max
Number = Annotated[int, Meta(ge=-INT_LIMIT, le=INT_LIMIT)] | Annotated[float, Meta(ge=-FLOAT_LIMIT, le=FLOAT_LIMIT)]
Positive = Annotated[int, Meta(gt=0, le=INT_LIMIT)] | Annotated[float, Meta(gt=0, le=FLOAT_LIMIT)]
NonNegative = Annotated[int, Meta(ge=0, le=INT_LIMIT)] | Annotated[float, Meta(ge=0, le=FLOAT_LIMIT)]
Proportion = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=INT_LIMIT)]
PositiveInt = Annotated[int, Meta(ge=1, le=INT_LIMIT)]

Kind = TypeVar("Kind")
NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
LONGEST = 60  # characters of a value that a message shows


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen record of named values; reading checks them, construction by our own code does not."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, tuples as lists."""
        return {name: _plain(getattr(self, name)) for name in self.__struct_fields__}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the record of plain JSON values; raises `ArtifactError` naming the first one that is not allowed."""
        return checked(values, cls)

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the record of a JSON text; raises `ArtifactError` as `parse_json` and `from_json` do."""
        return cls.from_json(parse_json(text))

    @classmethod
    def read(cls, path: Path, hint: str = "build again with --force") -> Self:
        """Return the record in a file that our own code wrote; raises `ArtifactError` naming the file."""
        try:
            return cls.parse(path.read_bytes())
        except (OSError, ArtifactError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}", hint=hint) from error


def checked(values: Any, kind: type[Kind]) -> Kind:
    """Return plain JSON values as a type; raises `ArtifactError` naming the first value that is not allowed."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ArtifactError(_fault(kind, values)) from error


def parse_json(text: str | bytes) -> Any:
    """Return the values of a JSON text in UTF-8; raises `ArtifactError` for anything else and for repeated keys."""
    try:
        values = json.loads(text if isinstance(text, str) else text.decode(), object_pairs_hook=_object)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except RecursionError as error:
        raise ArtifactError("its values are nested too deeply") from error
    except ValueError as error:
        raise ArtifactError(f"it is not JSON: {error}") from error
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"the key {_shown(repeated)} occurs more than once in one object")
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _fault(kind: Any, value: Any, place: str = "") -> str:
    """Return what is wrong with a value: the innermost place, what was found there, and what is allowed."""
    record = _member(kind, Record)
    if record is not None and isinstance(value, dict) and (wrong := _wrong_keys(record, value)):
        return f"{place}: {wrong}" if place else wrong
    for name, part_kind, part in _parts(kind, value):
        if _refusal(part_kind, part):
            inside = name if name.startswith("[") or not place else f".{name}"
            return _fault(part_kind, part, place + inside)
    if record is not None and isinstance(value, dict):  # every field is allowed, but not together
        return f"{place}: {_refusal(record, value)}" if place else _refusal(record, value)
    return f"{place or 'the top level'} is {_shown(value)}; allowed: {_allowed(kind)}"


def _refusal(kind: Any, value: Any) -> str:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _wrong_keys(record: Any, values: dict[str, Any]) -> str:
    fields = {field.name: field for field in msgspec.structs.fields(record)}
    if unknown := [name for name in values if name not in fields]:
        nearest = difflib.get_close_matches(str(unknown[0]), fields, n=1)
        known = f"the nearest known key is {nearest[0]}" if nearest else f"known keys: {', '.join(fields)}"
        return f"unknown key {_shown(unknown[0])}; {known}"
    missing = [name for name, field in fields.items() if field.required and name not in values]
    return f"missing keys: {', '.join(missing)}" if missing else ""


def _parts(kind: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the values inside a value with their names and types."""
    record, items, entries = (_member(kind, group) for group in (Record, tuple, dict))
    if record is not None and isinstance(value, dict):
        for field in msgspec.structs.fields(record):
            if field.name in value:
                yield field.name, field.type, value[field.name]
    elif items is not None and isinstance(value, list | tuple):
        kinds = typing.get_args(items)
        for index, item in enumerate(value):
            yield f"[{index}]", kinds[0 if kinds[-1] is Ellipsis else min(index, len(kinds) - 1)], item
    elif entries is not None and isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_shown(key)}]", typing.get_args(entries)[1], item


def _members(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def _member(kind: Any, group: type) -> Any:
    """Return the type among those allowed that is a record, a tuple or a dict, or None."""
    for member in _members(kind):
        base = _base(member)
        outer = typing.get_origin(base) or base
        if isinstance(outer, type) and issubclass(outer, group):
            return base
    return None


def _allowed(kind: Any) -> str:
    members = _members(kind)
    if any(_base(member) is float for member in members):
        members = tuple(member for member in members if _base(member) is not int)
    return " or ".join(map(_allowed_by, members))


def _base(member: Any) -> Any:
    return typing.get_args(member)[0] if typing.get_origin(member) is Annotated else member


def _allowed_by(member: Any) -> str:
    base = _base(member)
    bounds = typing.get_args(member)[1] if base is not member else Meta()
    if typing.get_origin(base) is Literal:
        return ", ".join(map(str, typing.get_args(base)))
    if base in NAMES:
        return NAMES[base] + _range(bounds)
    if typing.get_origin(base) is tuple:
        kinds = typing.get_args(base)
        count = bounds.min_length if kinds[-1] is Ellipsis else len(kinds)
        return f"a list of {count}" if count else "a list"
    if isinstance(base, type) and issubclass(base, Record):
        return f"an object with the keys {', '.join(base.__struct_fields__)}"
    return "an object"


def _range(bounds: Meta) -> str:
    low, high = bounds.ge, bounds.le
    if low is not None and high is not None and abs(low) < INT_LIMIT and high < INT_LIMIT:
        return f" from {low} to {high}"
    limits = [(" above", bounds.gt), (" of at least", low), (" up to", high)]
    return " and".join(f"{word} {limit}" for word, limit in limits if limit is not None and abs(limit) < INT_LIMIT)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, default=repr)
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{shown} (beyond 64 bits)" if isinstance(value, int) and abs(value) > INT_LIMIT else shown
