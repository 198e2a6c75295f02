"""The documents name what exists, and nothing else; their tables are those of the figures; light modules stay light."""

import argparse
import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from export.__main__ import COMMANDS
from export.core.errors import RequestError
from export.models.catalog import MODELS
from export.page.reports.documents import README, REPRODUCE, RESULTS, SECTIONS, SOURCES, filled, read_sources
from export.pipeline.runtimes import ENGINES
from export.quantization.evaluation.records import read_table, read_tables, write_table
from export.quantization.evaluation.selection import every_recipe
from export.quantization.methods import METHODS
from export.quantization.recipes import RECIPES, find_recipe
from export.readme import main as readme

ROOT = Path(__file__).parents[3]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
}
EVERYTHING = "\n".join(DOCUMENTS.values())
LIGHT_COMMANDS = ("build", "serve", "init", "publish", "verify")
HEAVY = ("torch", "tensorflow", "timm", "onnx", "numpy", "PIL", "playwright")
# A command as it stands in a block or in a line of text; a backslash continues it on the next line.
COMMAND = re.compile(r"(?:python -m export\.|^vit-pages )(\w+)((?:\\\n|[^\n`#])*)", re.MULTILINE)
LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_threads_wait_idly_unless_somebody_says_otherwise() -> None:
    code = "import os, export; print(os.environ['GOMP_SPINCOUNT'])"
    plain = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    for environment, wanted in ((plain, "3000"), (plain | {"GOMP_SPINCOUNT": "7"}, "7")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == wanted


def test_the_readme_is_short_and_names_both_commands() -> None:
    assert len(DOCUMENTS[README].splitlines()) <= 130
    assert all(re.search(rf"^{name} ", DOCUMENTS[README], re.MULTILINE) for name in ("make site", "make test"))


def test_readme_set_up_and_workflows_agree_on_versions() -> None:
    setup, workflow = (ROOT / ".ci/setup").read_text(), (ROOT / ".github/workflows/ci.yml").read_text()
    for versions in ("Python 3.11 or 3.12", "Node.js 20.10 or newer"):
        assert versions in DOCUMENTS[README] and versions in DOCUMENTS["docs/contributing.md"] and versions in setup
    assert 'python: ["3.11", "3.12"]' in workflow and 'node-version: "20"' in workflow
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text()
    assert '"node": ">=20.10"' in (ROOT / "site/package.json").read_text()


@pytest.mark.parametrize("name", [*MODELS, *RECIPES, *METHODS, *ENGINES])
def test_every_name_is_documented(name: str) -> None:
    assert f"`{name}`" in EVERYTHING


def module_of(command: str) -> Any:
    """Return a command's module; of a package that is a command, its `__main__`."""
    module = importlib.import_module(f"export.{command}")
    return importlib.import_module(f"export.{command}.__main__") if hasattr(module, "__path__") else module


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"python -m export.{name}" in EVERYTHING
    with pytest.raises(SystemExit, match=r"^0$"):
        module_of(name).main(["--help"])
    assert "Examples:" in capsys.readouterr().out


def options_of(command: str) -> set[str]:
    parser: argparse.ArgumentParser = module_of(command).parser()
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist_with_their_options(document: str) -> None:
    for command, arguments in COMMAND.findall(DOCUMENTS[document]):
        assert command in COMMANDS, f"{document}: python -m export.{command}"
        words = shlex.split(arguments.replace("\\\n", " "), comments=False)
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options_of(command), f"{document}: python -m export.{command} {arguments}"


def anchors(text: str) -> set[str]:
    """The names by which GitHub links to a document's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_in_documents_resolve(document: str) -> None:
    folder = (ROOT / document).parent
    for link in LINK.findall(DOCUMENTS[document]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / document
        assert target.exists(), f"{document} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{document} links to {link}"


def code_blocks(language: str) -> list[str]:
    """Return the blocks of a language in all documents, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", EVERYTHING, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def test_recipes_in_documents_are_recipes(tmp_path: Path) -> None:
    blocks = code_blocks("json")
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.json"
        path.write_text(block)
        assert find_recipe(str(path)).quantization is not None


def test_python_in_documents_compiles_and_imports_what_exists() -> None:
    blocks = code_blocks("python")
    assert blocks
    for block in blocks:
        tree = ast.parse(block if not block[0].isspace() else textwrap.dedent(block))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("export."):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_the_architecture_names_the_rooms_and_no_others() -> None:
    rooms = {path.parent.name for path in ROOT.glob("export/*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", DOCUMENTS["docs/architecture.md"], re.MULTILINE)) == rooms


def test_paths_in_documents_exist() -> None:
    written = {"_site", "artifacts"}
    for document, text in DOCUMENTS.items():
        if document == "CHANGELOG.md":
            continue
        for path in re.findall(r"`((?:export|site|templates|tests|docs|\.github|\.ci)/[\w./-]+)`", text):
            exists = (ROOT / path).exists() or path.split("/")[0] in written or "NAME" in path
            assert exists, f"{document} names {path}"


def test_listing_the_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "export"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and all(f"export.{name}" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    "module", ["export.page.render", "export.page.assets.bundle", *(f"export.{name}" for name in LIGHT_COMMANDS)]
)
def test_imports_stay_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_nothing_is_named_that_only_exists_elsewhere() -> None:
    """The project stands alone: no registry host, no path of one machine, in any tracked text file."""
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()
    pattern = re.compile(
        r"(pypi\.o" r"rg|pythonhosted\.o" r"rg|registry\.np" r"mjs|deb\.deb" r"ian\.org|/wor" r"k/main)"
    )
    for name in files:
        path = ROOT / name
        if path.suffix in {".npz", ".safetensors", ".png", ".jpg", ".bin"} or not path.is_file():
            continue
        assert not pattern.search(path.read_text(errors="replace")), name


@pytest.mark.parametrize("document", SECTIONS)
def test_tables_are_those_of_the_figures(document: str) -> None:
    """No figure in them is typed by hand."""
    figures = read_sources({name: (ROOT / source.kept,) for name, source in SOURCES.items()})
    assert filled(document, DOCUMENTS[document], figures) == DOCUMENTS[document]


def test_the_evaluation_is_of_every_recipe() -> None:
    evaluation = read_table(ROOT / SOURCES["evaluation"].kept)
    assert evaluation.n == 10_000 and {row.recipe for row in evaluation.rows} >= {"f32", *every_recipe()}
    assert "`w3to8a8_gptq_4bits`: 9" in DOCUMENTS[RESULTS]  # one of bits by layer, named after its file


def test_rows_of_an_evaluation_are_added_to_those_of_the_same_model_and_machine(tmp_path: Path) -> None:
    kept = ROOT / SOURCES["evaluation"].kept
    table, other = read_table(kept), tmp_path / "other.json"
    anew = replace(table.rows[-1], evaluation_seconds=1.5)
    write_table(replace(table, rows=(table.rows[0], anew)), other)
    assert read_tables(kept, other).rows == (*table.rows[:-1], anew)
    write_table(replace(table, rows=(anew,), threads=64), other)
    assert read_tables(kept, other).rows == (anew,)


def test_tables_are_filled_anew_and_the_rest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    targets = {document: tmp_path / Path(document).name for document in (README, RESULTS, REPRODUCE)}
    for document, path in targets.items():
        path.write_text(re.sub(r"(:begin -->\n).*?(\n<!--)", r"\1stale\2", DOCUMENTS[document], flags=re.DOTALL))
    readme([word for document, path in targets.items() for word in (f"--{Path(document).stem.lower()}", str(path))])
    assert {document: path.read_text() for document, path in targets.items()} == {
        document: DOCUMENTS[document] for document in targets
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--benchmark", "absent.json"], "absent.json does not exist"),
        (["--bitwidths", "package.json"], "package.json is not a table of bit widths"),
        (["--results", "absent.md"], "absent.md does not exist"),
        (["--results", "package.json"], "no section measurements"),
    ],
)
def test_what_cannot_be_filled_is_refused(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "site")
    kept = [argument for name, source in SOURCES.items() for argument in (f"--{name}", str(ROOT / source.kept))]
    target = tmp_path / "README.md"
    target.write_text(DOCUMENTS[README])
    results = ["--results", str(tmp_path / "README.md"), "--reproduce", str(tmp_path / "README.md")]
    with pytest.raises(RequestError, match=message):
        readme([*kept, "--readme", str(target), *results, *options])
    assert target.read_text() == DOCUMENTS[README]
