"""Which of our own code decides an artifact's bytes: found from what modules import, not listed by hand."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from export.core.files import hash_bytes, hash_json
from export.core.paths import IMPORTED_FROM

ROOT_PACKAGE = "export"
# They word, print and name places; nothing that they do reaches an artifact's bytes.
REPORTING = frozenset(
    {
        "export",
        "export.core.console",
        "export.core.environment.extras",
        "export.core.errors",
        "export.core.figures.units",
        "export.core.paths",
    }
)
PRINTING = frozenset({"say", "tell"})


def code_key(*modules: str) -> str:
    """Return the hash of modules such as `export.models.load` and of all of ours that they import, however indirectly.

    Imports inside functions count, those for type checkers alone do not. Comments, docstrings, layout and the texts of
    errors and messages do not change the hash; anything else does.
    """
    return hash_json([[name, code.hash] for name, code in sorted(_reach(modules).items())])


def reached_modules(*modules: str) -> set[str]:
    """Return the names of modules and of all modules of this package that they import, however indirectly."""
    return set(_reach(modules))


def _reach(modules: Iterable[str]) -> dict[str, "_Code"]:
    reached: dict[str, _Code] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in REPORTING:
            reached[name] = _read(_source(name))
            waiting += reached[name].imports
    return reached


def _source(module: str) -> bytes:
    """Return a module's text; raises `LookupError` where there is none, since a name in our code is then wrong."""
    path = IMPORTED_FROM.joinpath(*module.split("."))
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        with suppress(FileNotFoundError, NotADirectoryError):
            return found.read_bytes()
    raise LookupError(f"there is no module {module} in {IMPORTED_FROM}")


def _is_module(name: str) -> bool:
    path = IMPORTED_FROM.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@dataclass(frozen=True, slots=True)
class _Code:
    """The modules of ours that a text imports, with the packages that hold them; and the hash of its statements."""

    imports: tuple[str, ...]
    hash: str


@cache
def _read(source: bytes) -> _Code:
    tree = ast.parse(source)
    _drop_words(tree)
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            own = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {node.module, *(name for name in own if _is_ours(name) and _is_module(name))}
    imports = sorted(part for name in names if _is_ours(name) for part in _packages(name))
    return _Code(tuple(imports), hash_bytes(ast.dump(tree).encode()))


def _blocks(node: ast.AST) -> Iterator[list[ast.AST]]:
    """Yield the lists of statements that a statement holds, and those of what holds some: an `except`, a `case`."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements below a node. Expressions, which hold none, are most of a tree and are not visited."""
    for block in _blocks(node):
        for statement in block:
            yield statement
            yield from _statements(statement)


def _drop_words(node: ast.AST) -> None:
    """Take out docstrings, what is printed, what errors say, and what only type checkers run."""
    for block in _blocks(node):
        block[:] = [statement for statement in block if not _is_dropped(statement)]
        for statement in block:
            if isinstance(statement, ast.Raise) and isinstance(statement.exc, ast.Call):
                statement.exc = statement.exc.func
            _drop_words(statement)


def _is_dropped(statement: ast.AST) -> bool:
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    if not isinstance(statement, ast.Expr):
        return False
    called = statement.value.func if isinstance(statement.value, ast.Call) else None
    return isinstance(statement.value, ast.Constant) or (isinstance(called, ast.Name) and called.id in PRINTING)


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == ROOT_PACKAGE


def _packages(name: str) -> list[str]:
    """Return a module behind the packages that Python imports before it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
