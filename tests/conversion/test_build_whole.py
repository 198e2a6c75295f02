"""The main command as a person runs it: cached, interrupted, refused, and at full size."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupts import heed_interrupts
from sharing import SHARED, one_at_a_time

from export.core.files import hash_file

pytestmark = pytest.mark.conversion
ROOT = Path(__file__).parents[2]


def build(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "export.build", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        preexec_fn=heed_interrupts,
    )


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def own_artifacts(built_site: Path, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `built_site` was built from, to which no other test adds."""
    folder = tmp_path_factory.mktemp("artifacts")
    with one_at_a_time("fashion"):
        shutil.copytree(artifacts / "fashion", folder / "fashion")
    return folder


@pytest.fixture
def request_of(built_site: Path, own_artifacts: Path) -> list[object]:
    """The arguments with which `built_site` was built."""
    places = ["--artifacts", own_artifacts, "--measurements", "none.json", "--out", built_site]
    return ["--model", "fashion", "--recipe", "u8,f32", *places]


def test_a_second_build_makes_the_same_bytes_and_imports_nothing_heavy(
    request_of: list[object], built_site: Path
) -> None:
    before = fingerprint(built_site)
    heavy = ("torch", "tensorflow", "timm", "onnx", "onnxruntime")
    code = (
        "import sys; from export.build import main; main(sys.argv[1:]);"
        f"print('heavy:', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, request_of)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "heavy: []" in done.stdout
    assert "onnx" not in done.stdout.partition("heavy")[0], "a stage was made again"
    assert fingerprint(built_site) == before


def test_an_interrupted_build_leaves_page_and_artifacts_as_they_were(
    request_of: list[object], built_site: Path, own_artifacts: Path
) -> None:
    before = fingerprint(built_site), fingerprint(own_artifacts / "fashion" / "f32")
    running = build(*request_of, "--force")
    assert running.stdout is not None
    output = ""
    while "load the model" not in output:
        character = running.stdout.read(1)
        assert character, output
        output += character
    os.kill(running.pid, signal.SIGINT)
    output += running.communicate(timeout=120)[0]
    assert running.returncode == 130, output
    assert "interrupted" in output and "Traceback" not in output
    assert (fingerprint(built_site), fingerprint(own_artifacts / "fashion" / "f32")) == before
    assert not list((own_artifacts / "fashion" / "f32").glob(".*")), "a half-made folder was left behind"


def test_a_folder_of_someone_else_s_is_not_written_to(request_of: list[object], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused = build(*request_of[:-1], tmp_path)
    output = refused.communicate(timeout=120)[0]
    assert refused.returncode == 2 and str(tmp_path) in output and "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_deit_t_at_full_size_with_random_weights(tmp_path: Path) -> None:
    arguments = ["--model", "deit_t", "--weights", "random", "--recipe", "u8", "--artifacts", SHARED / "full_size"]
    running = build(*arguments, "--measurements", tmp_path / "none.json", "--out", tmp_path / "_site")
    output = running.communicate(timeout=1200)[0]
    assert running.returncode == 0, output
    assert "random weights" in output
    page = (tmp_path / "_site" / "index.html").read_text()
    found = re.search(r'<script type="application/json" id="site-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    (model,) = json.loads(found[1])["models"]
    (variant,) = model["variants"]
    assert model["weights"] == "random" and model["outputs"] == 1000 and len(model["labels"]) == 1000
    # 5.7 million parameters at a byte each, and little beside them.
    assert 5.7e6 < variant["bytes"] < 6.4e6
