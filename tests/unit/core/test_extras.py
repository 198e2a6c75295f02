"""Every module of other projects that our code imports is brought by the base of the package or by an extra."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from export.conversion.engine.compile import COMPILER
from export.core.environment.extras import EXTRA_OF, MODULES, explain, install
from export.pipeline.formats import FORMATS, Format
from export.pipeline.runtimes import ENGINES

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
BASE = {"jinja2", "msgspec", "markupsafe"}


def brought_by(extra: str) -> set[str]:
    """Return the distributions that an extra names, itself or through others."""
    names: set[str] = set()
    for requirement in map(Requirement, EXTRAS[extra]):
        if canonicalize_name(requirement.name) == PROJECT["name"]:
            names |= {name for other in requirement.extras for name in brought_by(other)}
        else:
            names.add(canonicalize_name(requirement.name))
    return names


def imported() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "export").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - {"export", *sys.stdlib_module_names}


def test_every_imported_module_has_its_extra() -> None:
    assert imported() - BASE <= set(EXTRA_OF), "add them to MODULES and to pyproject.toml"


@pytest.mark.slow
@pytest.mark.parametrize("extra", MODULES)
def test_extras_bring_their_modules(extra: str) -> None:
    distributions = packages_distributions()
    for module in MODULES[extra]:
        assert {canonicalize_name(name) for name in distributions[module]} & brought_by(extra), module


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_the_extra_of_a_format_brings_its_tools(format: Format) -> None:
    tools = {canonicalize_name(tool) for tool in format.tools}
    assert tools <= brought_by(format.extra) | {COMPILER}


def test_what_everything_needs_is_in_all() -> None:
    assert {name for extra in EXTRAS if extra != "dev" for name in brought_by(extra)} == brought_by("all")


def test_set_up_knows_every_engine_and_its_extra() -> None:
    listed = re.findall(r"^ +(\w+)\) extra=(\w+) ", (ROOT / ".ci/setup").read_text(), re.MULTILINE)
    assert dict(listed) == {name: FORMATS[engine.formats[0]].extra for name, engine in ENGINES.items()}


def test_a_missing_module_is_explained_by_its_extra() -> None:
    assert explain(ModuleNotFoundError(name="onnx2tf.utils")) == (
        "the package onnx2tf is not installed",
        install("tfjs"),
    )
    assert explain(ModuleNotFoundError(name="export.nothing")) is None
    assert install("quantize", "onnx", "onnx") == "pip install 'vit-pages[quantize,onnx]'"


# Runs a command as `python -m` does where nothing but the base of the package is installed.
WITHOUT_EXTRAS = """
import runpy, sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("analyze --model fashion", "analyze"),
        ("compare --model fashion", "compare"),
        ("train", "train"),
        ("train --data . --model deit_t", "train"),
        ("train --qat w4a4_lsq", "train"),
        ("evaluate --recipe w8_rtn", "quantize"),
        ("measure", "measure"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(command: str, extra: str, tmp_path: Path) -> None:
    done = run_without(tuple(EXTRA_OF), command, tmp_path)
    assert done.returncode == 2 and install(extra) in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "said", "engine", "extra"),
    [
        ("wasmtime", "wasmtime", "vit", "quantize"),
        ("tqdm", "tqdm", "vit", "quantize"),
        ("yaml", "pyyaml", "vit", "quantize"),
        ("tf_keras", "tf_keras", "tfjs", "tfjs"),
        ("psutil", "psutil", "tfjs", "tfjs"),
        ("onnxruntime", "onnxruntime", "ort", "onnx"),
    ],
)
def test_a_build_names_what_it_lacks_before_any_work(
    module: str, said: str, engine: str, extra: str, tmp_path: Path
) -> None:
    done = run_without((module,), f"build --model fashion --recipe w8a8_minmax --engine {engine}", tmp_path)
    assert done.returncode == 2 and f"not installed: {said} (for " in done.stderr, done.stdout + done.stderr
    assert install(extra) in done.stderr and done.stderr.count("\n") == 2
    assert "load the model" not in done.stdout and not (tmp_path / "artifacts").exists()


def run_without(modules: tuple[str, ...], command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    name, *options = command.split()
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, ",".join(modules), f"export.{name}", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
