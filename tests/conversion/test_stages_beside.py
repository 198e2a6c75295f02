"""Conversions beside calibration and each other: the same bytes as one after the other, and nothing left behind."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from interrupts import heed_interrupts

from export.conversion.converter_process import ConverterProcess
from export.core.errors import ConversionError
from export.models.choice.request import ModelRequest
from export.pipeline.build import convert
from export.pipeline.durations import Durations
from export.pipeline.session import BuildSession
from export.pipeline.store import Store
from export.quantization.recipes import find_recipe, find_recipes

pytestmark = pytest.mark.conversion
ROOT = Path(__file__).parents[2]


def test_it_makes_what_is_made_one_after_the_other(
    built_site: Path, artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request, store = ModelRequest(model="fashion"), Store(tmp_path)
    made = convert(request, find_recipes("w8a8_minmax,u8"), store, force=False)
    assert [(artifact.recipe, artifact.format) for artifact in made] == [("w8a8_minmax", "vit"), ("u8", "tfjs")]
    apart = Store(artifacts)
    for recipe, format in (("f32", "tf_tfjs"), ("f32", "tf_tfjs_gpu"), ("u8", "tfjs"), ("u8", "selftest_tfjs")):
        one, other = store.read("fashion", recipe, format), apart.read("fashion", recipe, format)
        assert one is not None and other is not None and one.sha256 == other.sha256
    lines = capsys.readouterr().out.splitlines()
    begun = lines.index("  safetensors w8a8_minmax …") if "  safetensors w8a8_minmax …" in lines else 0
    assert any(line.startswith("  tf_tfjs f32 … ") for line in lines[begun:])
    assert any("about" in line and line.endswith("left") for line in lines)
    known = {(one.format, one.recipe) for one in Durations(tmp_path).all()}
    assert {("safetensors", "w8a8_minmax"), ("tf_tfjs", "f32"), ("selftest_vit", "w8a8_minmax")} <= known


def test_a_second_converter_that_fails_is_reported(tmp_path: Path) -> None:
    with BuildSession(ModelRequest(model="fashion"), Store(tmp_path), expected=["tfjs"]) as session:
        tools = session.tools()
        assert isinstance(tools, ConverterProcess)
        if tools.twin is None:
            pytest.skip("a second converter needs Linux and a second core")
        with pytest.raises(ConversionError, match="the converter process ended within abort"):
            tools.twin.run(os.abort)
        with pytest.raises(ConversionError, match="the converter process ended within simplify"):
            session.obtain("tfjs", find_recipe("u8"))
    assert (tmp_path / "fashion" / "f32" / "tf_tfjs").exists()
    assert not (tmp_path / "fashion" / "f32" / "tf_tfjs_gpu").exists()


def test_one_core_has_one_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    with BuildSession(ModelRequest(model="fashion"), Store(tmp_path), expected=["tfjs"]) as session:
        tools = session.tools()
        assert isinstance(tools, ConverterProcess) and tools.twin is None


@pytest.mark.parametrize(
    ("recipes", "stages"),
    [("w8a8_gptq,u8", ("safetensors w8a8_gptq", "tf_tfjs f32")), ("u8", ("tf_tfjs f32", "tf_tfjs_gpu f32"))],
)
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, recipes: str, stages: tuple[str, ...]) -> None:
    scratch, folder = tmp_path / "scratch", tmp_path / "artifacts"
    scratch.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-m", "export.build", "--recipe", recipes, "--artifacts", folder, "--out", tmp_path / "_site"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        preexec_fn=heed_interrupts,
    )
    assert running.stdout is not None
    output = ""
    while not all(stage in output for stage in stages):
        character = running.stdout.read(1)
        assert character, output
        output += character
    os.kill(running.pid, signal.SIGINT)
    output += running.communicate(timeout=120)[0]
    assert running.returncode == 130 and "interrupted" in output and "Traceback" not in output, output
    left = [path.name for path in folder.rglob(".*") if path.name != ".w8a8_gptq.calibration"]
    assert not left and not list(scratch.glob("vit-pages-*")) and not (tmp_path / "_site").exists()
    assert not (folder / "fashion" / "u8" / "tfjs").exists() and not working_in(scratch)


def working_in(folder: Path) -> list[str]:
    """Return the processes whose working folder is, or was, below a folder; on Linux."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append(process.name)
    return found
