"""What a class's docstring says of `names` in backticks is true: they exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"`([a-z_][a-z0-9_]*)`")
RECORDS = ("Record", "Struct")  # bases whose annotated attributes are fields, as a dataclass's are


@cache
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted((ROOT / "export").rglob("*.py"))}


@cache
def nodes() -> tuple[tuple[Path, ast.AST], ...]:
    """Return all of every module."""
    return tuple((path, node) for path, module in modules().items() for node in ast.walk(module))


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """Return the classes of the package by name: some modules have one of the same name."""
    found: dict[str, list[ast.ClassDef]] = {}
    for _, node in nodes():
        if isinstance(node, ast.ClassDef):
            found.setdefault(node.name, []).append(node)
    return found


@cache
def top_level_names() -> frozenset[str]:
    """Return the modules of the package, the functions, classes and constants of each, and the values of the latter.

    A value is a constant's string, or one of a `Literal`.
    """
    names: set[str] = set()
    for path, module in modules().items():
        names |= {*path.relative_to(ROOT).with_suffix("").parts} - {"__init__"}
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
                names |= set(literals(node.value))
    return frozenset(names)


def literals(value: ast.AST | None) -> Iterator[str]:
    """Yield the string that a constant is, or those of the `Literal` that it is."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Subscript) and last_name(value.value) == "Literal":
        for entry in value.slice.elts if isinstance(value.slice, ast.Tuple) else [value.slice]:
            yield from literals(entry)


def last_name(node: ast.expr) -> str:
    """Return `Struct` of `Struct`, `msgspec.Struct` and `Struct(…)`."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def with_bases(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    yield node
    for base in node.bases:
        for parent in classes().get(last_name(base), []):
            yield from with_bases(parent)


def is_record(node: ast.ClassDef) -> bool:
    decorated = any(last_name(decorator) == "dataclass" for decorator in node.decorator_list)
    return decorated or any(last_name(base) in RECORDS or last_name(base) == "Context" for base in node.bases)


def members(node: ast.ClassDef) -> set[str]:
    """Return the fields with the values of their `Literal`s, properties and methods of a class and of its bases."""
    names: set[str] = set()
    for parent in with_bases(node):
        for entry in parent.body:
            if isinstance(entry, ast.FunctionDef):
                names.add(entry.name)
            elif isinstance(entry, ast.AnnAssign | ast.Assign):
                targets = entry.targets if isinstance(entry, ast.Assign) else [entry.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
                if isinstance(entry, ast.AnnAssign):
                    names |= {value for part in ast.walk(entry.annotation) for value in literals(part)}
    return names


def inner_names(node: ast.ClassDef) -> set[str]:
    """Return all that the code of a class with methods names: attributes, parameters, variables and keys of JSON."""
    names: set[str] = set()
    for parent in with_bases(node):
        docstrings = {id(entry.value) for entry in ast.walk(parent) if isinstance(entry, ast.Expr)}
        for entry in ast.walk(parent):
            if isinstance(entry, ast.Attribute):
                names.add(entry.attr)
            elif isinstance(entry, ast.Name):
                names.add(entry.id)
            elif isinstance(entry, ast.arg):
                names.add(entry.arg)
            elif isinstance(entry, ast.Constant) and isinstance(entry.value, str) and id(entry) not in docstrings:
                names.add(entry.value)
    return names


DOCUMENTED = [
    pytest.param(node, id=f"{path.relative_to(ROOT).with_suffix('')}:{node.name}")
    for path, node in nodes()
    if isinstance(node, ast.ClassDef) and NAME.search(ast.get_docstring(node) or "")
]


@pytest.mark.parametrize("node", DOCUMENTED)
def test_names_in_the_docstring_of_a_class_exist(node: ast.ClassDef) -> None:
    unknown = set(NAME.findall(ast.get_docstring(node) or "")) - members(node) - top_level_names()
    unknown -= set() if is_record(node) or not unknown else inner_names(node)
    assert not unknown, f"{sorted(unknown)} are not of {node.name}: {sorted(members(node))}"


def test_a_field_that_was_renamed_is_noticed() -> None:
    module = ast.parse('@dataclass\nclass Row(Record):\n    """`old` counts, `new` too."""\n\n    new: int\n')
    (node,) = module.body
    assert isinstance(node, ast.ClassDef) and is_record(node)
    assert set(NAME.findall(ast.get_docstring(node) or "")) - members(node) - top_level_names() == {"old"}


def test_every_refused_request_says_the_next_step() -> None:
    """Each `RequestError` has a hint."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and last_name(node) == "RequestError"
        and not any(keyword.arg == "hint" for keyword in node.keywords)
    ]
    assert not found, "\n".join(found)


def test_docstrings_say_something() -> None:
    """No docstring only repeats that something is returned."""
    empty = re.compile(r"(Return|Yield|The|Write|Read) (the |a )?(\w+)\.")
    found = [
        f"{path.relative_to(ROOT)}: {node.name}: {text}"
        for path, node in nodes()
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and (text := ast.get_docstring(node)) is not None
        and empty.fullmatch(text)
    ]
    assert not found, "\n".join(found)
