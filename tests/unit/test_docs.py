"""The README names what exists, and the light modules stay light."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from export.__main__ import COMMANDS
from export.evaluate import everything
from export.models.catalog import MODELS
from export.page.reports.benchmark_tables import markdown
from export.page.reports.benchmark_view import read_benchmark
from export.page.results_view import read_measurements
from export.pipeline.runtimes import ENGINES
from export.quantization.evaluation.records import read_table
from export.quantization.methods import METHODS
from export.quantization.recipes import RECIPES
from export.readme import (
    BENCHMARK,
    BITWIDTHS,
    EVALUATION,
    KEPT,
    bitwidths_section,
    evaluation_section,
    fill,
    results_table,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
HEAVY = ("torch", "tensorflow", "timm", "onnx", "numpy", "PIL", "playwright")


def test_threads_wait_idly_unless_somebody_says_otherwise() -> None:
    code = "import os, export; print(os.environ['GOMP_SPINCOUNT'])"
    plain = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    for environment, wanted in ((plain, "3000"), (plain | {"GOMP_SPINCOUNT": "7"}, "7")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == wanted


@pytest.mark.parametrize("name", [*MODELS, *RECIPES, *METHODS, *ENGINES, "make site", "make test"])
def test_readme_names(name: str) -> None:
    assert f"`{name}`" in README or name in README.split("```")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_names_command_and_it_has_help_with_examples(name: str) -> None:
    assert f"export.{name}" in README
    done = subprocess.run([sys.executable, "-m", f"export.{name}", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "Examples:" in done.stdout, done.stderr


def test_every_python_command_in_the_readme_exists() -> None:
    assert set(re.findall(r"python -m export\.(\w+)", README)) <= set(COMMANDS)


def test_listing_the_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "export"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and all(f"export.{name}" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("module", ["export.page.render", "export.build", "export.serve", "export.page.bundle"])
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


def test_the_readme_s_figures_are_those_of_the_measurements() -> None:
    """No figure in the table is typed by hand."""
    file, compared = read_measurements(ROOT / KEPT), read_benchmark(ROOT / BENCHMARK)
    assert file is not None and compared is not None
    assert fill(README, "results", results_table(file)) == README
    assert fill(README, "benchmark", markdown(compared)) == README


def test_the_readme_s_accuracies_are_those_of_the_evaluation() -> None:
    table = read_table(ROOT / EVALUATION)
    assert fill(README, "evaluation", evaluation_section(table)) == README
    bitwidths = json.loads((ROOT / BITWIDTHS).read_text())
    assert fill(README, "bitwidths", bitwidths_section(bitwidths)) == README
    assert table.n == 10_000 and {row.recipe for row in table.rows} == {"f32", *everything()}
