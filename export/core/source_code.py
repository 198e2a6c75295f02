"""Which of our own code decides an artifact's bytes: found from what modules import, not listed by hand."""

import ast
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
    return hash_json([[name, _statements_hash(_source(name))] for name in sorted(reached_modules(*modules))])


def reached_modules(*modules: str) -> set[str]:
    """Return the names of modules and of all modules of this package that they import, however indirectly."""
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in REPORTING:
            reached.add(name)
            waiting += _imports(_source(name))
    return reached


def _source(module: str) -> bytes:
    """Return a module's text; raises `LookupError` where there is none, since a name in our code is then wrong."""
    path = IMPORTED_FROM.joinpath(*module.split("."))
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        if found.is_file():
            return found.read_bytes()
    raise LookupError(f"there is no module {module} in {IMPORTED_FROM}")


def _is_module(name: str) -> bool:
    path = IMPORTED_FROM.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def _imports(source: bytes) -> tuple[str, ...]:
    """Return the modules of ours that a text imports, and the packages that hold them."""
    tree = _WithoutTypeChecking().visit(ast.parse(source))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            own = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {node.module, *(name for name in own if _is_ours(name) and _is_module(name))}
    return tuple(sorted(part for name in names if _is_ours(name) for part in _packages(name)))


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == ROOT_PACKAGE


def _packages(name: str) -> list[str]:
    """Return a module behind the packages that Python imports before it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


@cache
def _statements_hash(source: bytes) -> str:
    tree = _WithoutWords().visit(_WithoutTypeChecking().visit(ast.parse(source)))
    return hash_bytes(ast.dump(tree).encode())


class _WithoutTypeChecking(ast.NodeTransformer):
    """Drops what only type checkers run."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


class _WithoutWords(ast.NodeTransformer):
    """Drops docstrings, what is printed, and what errors say."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None
        called = node.value.func if isinstance(node.value, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in PRINTING:
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return self.generic_visit(node)
