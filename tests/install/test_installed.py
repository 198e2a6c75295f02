"""The wheel, outside the repository: it builds a page that works, and says by name what is not installed."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT, Environment
from playwright.sync_api import Page, expect

from export.measuring.browser.server import serving

pytestmark = pytest.mark.conversion

MOST_BYTES = 60_000_000  # of which the weights of the embedded models are 20
TFJS_RUNNER = "site/tools/run_tfjs.mjs"
Installed = Callable[..., Environment]


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file but Python's caches."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_wheel_is_small_and_for_every_machine(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl") and wheel.stat().st_size < MOST_BYTES


@pytest.mark.browser
def test_it_builds_a_page_that_classifies_without_node_compiler_and_tensorflow(
    installed: Installed, tmp_path: Path, page: Page
) -> None:
    environment = installed("quantize")
    package = environment.packages / "export"
    before = contents(package)
    assert "resources/bundle/bundle.json" in before and "data/assets/fashion.safetensors" in before
    done = environment.run("vit-pages", "build", "--model", "fashion", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: u8, f16, f32, since tfjs is not installed (pip install 'vit-pages[tfjs]'" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"_site", "artifacts"}
    assert contents(package) == before, "the installed package was written to"
    with serving(tmp_path / "_site") as url:
        page.goto(url)
        expect(page.locator("#state")).to_contain_text("Ready")
        page.get_by_role("button", name="Sample: Bag").click()
        expect(page.locator("#state")).to_contain_text(re.compile(r"Most likely: Bag, \d+\.\d\s%"))
    checked = environment.run("vit-pages", "publish", "--check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "as they should be" in checked.stdout and "could not be verified" not in checked.stdout


def test_it_writes_a_repository_whose_workflow_installs_the_same_wheel(
    installed: Installed, wheel: Path, tmp_path: Path
) -> None:
    done = installed("quantize").run("vit-pages", "init", "mine", "--model", "fashion", "--engine", "vit", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mine/wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    assert f'"./wheels/{wheel.name}[quantize]"' in (tmp_path / "mine/vit-pages.toml").read_text()
    assert (tmp_path / "mine/.github/workflows/pages.yml").is_file()


@pytest.mark.parametrize(
    ("extras", "command", "words"),
    [
        ((), "build", ("torch", "(for vit)", "'vit-pages[quantize]'")),
        ((), "quantize --recipe w8_rtn", ("torch", "(for safetensors)", "'vit-pages[quantize]'")),
        ((), "evaluate", ("torch", "'vit-pages[quantize]'")),
        ((), "measure", ("playwright", "'vit-pages[measure]'")),
        ((), "train", ("torch, timm", "'vit-pages[train]'")),
        ((), "train --install", ("--install replaces files of the project", "in a checkout")),
        (("quantize",), "build --engine tfjs,ort", ("tensorflowjs", "(for tfjs)", "onnx", "'vit-pages[tfjs,onnx]'")),
        (("quantize",), "build --recipe u8", ("tensorflowjs", "node", "'vit-pages[tfjs]'", "Node.js 20.10")),
        (("quantize",), "quantize --recipe w8_rtn --out a.tflite --out a.onnx", ("'vit-pages[litert,onnx]'",)),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    installed: Installed, tmp_path: Path, extras: tuple[str, ...], command: str, words: tuple[str, ...]
) -> None:
    done = installed(*extras).run("vit-pages", *command.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert all(word in done.stderr for word in words) and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.rglob("*.safetensors")) and not (tmp_path / "_site").exists()


def test_the_base_alone_lists_the_commands_and_shows_their_help(installed: Installed, tmp_path: Path) -> None:
    listed = installed().run("vit-pages", cwd=tmp_path)
    assert listed.returncode == 0 and "vit-pages build" in listed.stdout
    helped = installed().run("vit-pages", "build", "--help", cwd=tmp_path)
    assert helped.returncode == 0 and "--engine" in helped.stdout
    refused = installed().run("vit-pages", "biuld", cwd=tmp_path)
    assert refused.returncode == 2 and "build" in refused.stderr


def test_node_runs_tfjs_from_the_wheel_without_further_packages(
    installed: Installed, built_site: Path, artifacts: Path, tmp_path: Path
) -> None:
    images, outputs = tmp_path / "images.f32", [tmp_path / "wheel.f32", tmp_path / "repository.f32"]
    np.random.default_rng(0).standard_normal((2, 28, 28, 3)).astype("<f4").tofile(images)
    scripts = (installed().packages / "export/resources" / TFJS_RUNNER, ROOT / TFJS_RUNNER)
    for script, output in zip(scripts, outputs, strict=True):
        given = {"model": artifacts / "fashion/f32/tfjs", "inputs": images, "shape": "2,28,28,3", "output": output}
        options = [text for name, value in given.items() for text in (f"--{name}", str(value))]
        subprocess.run(["node", str(script), *options], cwd=tmp_path, check=True)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
