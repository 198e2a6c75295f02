"""Text is UTF-8 whatever the locale: every call in the code that reads or writes text says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import export

# How many arguments a call has at most without naming an encoding.
WITHOUT_ENCODING = {"read_text": 0, "write_text": 1}
MODES = {"r", "w", "a", "x", "r+", "w+"}


def unnamed(source: str) -> Iterator[str]:
    """Yield the calls that leave the encoding of text to the locale."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute | ast.Name) or any(word.arg == "encoding" for word in call.keywords):
            continue
        is_method = isinstance(call.func, ast.Attribute)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
        modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        if (
            (is_method and name in WITHOUT_ENCODING and len(call.args) <= WITHOUT_ENCODING[name])
            or (name in ("open", "fdopen", "TemporaryFile") and len(call.args) == 1 and MODES.intersection(modes))
            or any(word.arg in ("text", "universal_newlines") for word in call.keywords)
        ):
            yield f"line {call.lineno}: {ast.unparse(call)}"


def test_every_reading_and_writing_of_text_names_its_encoding() -> None:
    folder = Path(export.__file__).parent
    found = {
        str(path.relative_to(folder)): calls
        for path in folder.rglob("*.py")
        if (calls := list(unnamed(path.read_text("utf-8"))))
    }
    assert not found


def test_calls_without_an_encoding_are_found() -> None:
    calls = ["p.read_text()", 'p.write_text("a")', 'p.open("a")', 'TemporaryFile("w+")', "run([], text=True)"]
    assert all(list(unnamed(call)) for call in calls)
    assert not any(list(unnamed(call)) for call in ['p.read_text("utf-8")', 'p.open("rb")'])
