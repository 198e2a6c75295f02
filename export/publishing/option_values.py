"""The options in a configuration file: each checked as the command line checks it, and its paths found."""

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export.core.errors import RequestError
from export.publishing.checkpoint_url import is_url
from export.publishing.options import COMMON

Options = Mapping[str, argparse.Action]


def options_of(parser: argparse.ArgumentParser) -> Options:
    """Return the build's options by their names without dashes, but for those that a file cannot hold."""
    return {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option not in ("--help", "--config") and not option.startswith("--no-")
    }


def read_values(
    given: Mapping[str, Any], options: Options, place: str, base: Path, tables: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the values by the names of `argparse`; `place` names the table in messages, paths are relative to `base`.

    `tables` are what else could be meant by an unknown name. Raises `RequestError` for one, and for a value that the
    option does not take.
    """
    values = {}
    for name, value in given.items():
        action = options.get(name)
        if action is None:
            raise RequestError(f"{place}: unknown key {name!r}", hint=_nearest(name, [*options, *tables]))
        values[action.dest] = _value(name, value, action, place, base)
    return values


def _nearest(name: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), options, n=1)
    return f"the nearest known key is {near[0]}" if near else f"known keys: {', '.join(options)}"


def check_common(given: Mapping[str, Any], place: str, options: Options) -> None:
    """Raise `RequestError` for an option of the whole build in the table of one model."""
    for name in given:
        if name in options and options[name].dest in COMMON:
            raise RequestError(f"{place}: {name} is of the whole page", hint="write it above the first table")


def _value(name: str, value: Any, action: argparse.Action, place: str, base: Path) -> Any:
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise _refused(name, value, place, "true or false")
        return value
    if isinstance(action, argparse._AppendAction):
        values = value if isinstance(value, list) else [value]
        if not values:
            raise _refused(name, value, place, "a name, or a list of names")
        return [_parsed(name, one, action, place, base) for one in values]
    return _parsed(name, value, action, place, base)


def _parsed(name: str, value: Any, action: argparse.Action, place: str, base: Path) -> Any:
    text = _text(name, value, place)
    if action.type is Path:
        return Path(text) if is_url(text) else base / text
    if action.dest == "model":  # also a folder of one
        return str(base / text) if (base / text).is_dir() else text
    if action.dest == "recipe":
        return ",".join(_recipe(part.strip(), base) for part in text.split(","))
    try:
        parsed = action.type(text) if callable(action.type) else text
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise _refused(name, value, place, _kind(action, error)) from error
    if action.choices is not None and parsed not in action.choices:
        raise _refused(name, value, place, ", ".join(map(str, action.choices)))
    return parsed


def _kind(action: argparse.Action, error: Exception) -> str:
    kinds: dict[Any, str] = {int: "a whole number", float: "a number"}
    return kinds.get(action.type, str(error))


def _text(name: str, value: Any, place: str) -> str:
    """Return a value as the command line would have it: a list's items between commas."""
    items: Iterable[Any] = value if isinstance(value, list) else [value]
    if value == [] or any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in items):
        raise _refused(name, value, place, "a text, a number, or a list of these")
    return ",".join(map(str, items))


def _recipe(name: str, base: Path) -> str:
    return str(base / name) if name.endswith(".json") else name


def _refused(name: str, value: Any, place: str, allowed: str) -> RequestError:
    shown = f"a list of {len(value)}" if isinstance(value, list) else repr(value)
    return RequestError(
        f"{place}: {name} is {'a table' if isinstance(value, dict) else shown}", hint=f"allowed: {allowed}"
    )
