"""Our engine in Node: files that do harm, threads, and the tool that runs it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine_models import ENGINE_TESTS, all_builds, quantized

from export.conversion.engine.run import RUNNER, run_vit

pytestmark = pytest.mark.conversion

# One with two groups of rows, fewer than threads; one whose pooling waits for all of them.
MODELS: dict[str, dict[str, Any]] = {"small": {"img_size": 7}, "mean": {"global_pool": "avg", "depth": 3}}


@pytest.mark.faults("engine")
def test_hostile_files_are_refused(tmp_path: Path) -> None:
    file = quantized("vit_tiny_patch16_224", {"depth": 1}, "w8_dynamic", tmp_path).file
    command = ["node", str(ENGINE_TESTS / "hostile.test.mjs"), str(file), str(all_builds())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_threads_change_nothing_and_end(tmp_path: Path) -> None:
    """The process itself ends only once its workers have; a deadlock is what the limit is for."""
    files = []
    for name, arguments in MODELS.items():
        (tmp_path / name).mkdir()
        files.append(quantized("vit_tiny_patch16_224", arguments, "w8_dynamic", tmp_path / name).file)
    command = ["node", str(ENGINE_TESTS / "threads.test.mjs"), str(all_builds()), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"--threads": "0"}, "0 is no number"),
        ({"--threads": "two"}, "two is no number"),
        ({"--rounds": "-1"}, "no number"),
        ({"--shape": "1,28,28"}, "n,H,W,3"),
        ({"--shape": "2,28,28,3"}, "bytes"),
        ({"--model": "missing.vit"}, "missing.vit: no such file"),
        ({"--output": ""}, "are needed"),
    ],
)
def test_the_runner_refuses_bad_requests(changed: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(28 * 28 * 3 * 4))
    file, out = str(tmp_path / "x"), str(tmp_path / "out")
    given = {"--model": file, "--wasm": file, "--inputs": file, "--shape": "1,28,28,3", "--output": out} | changed
    command = ["node", str(RUNNER), *(f"{name}={value}" for name, value in given.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "usage:" in done.stderr and not Path(out).exists()


def test_the_runner_runs_in_rounds_and_says_how_long_they_took(tmp_path: Path) -> None:
    made = quantized("vit_tiny_patch16_224", MODELS["small"], "w8_dynamic", tmp_path)
    log = tmp_path / "log"
    found = run_vit(made.file, made.images.numpy(), all_builds(), tmp_path, log, "--threads", "2", "--rounds", "5")
    told = json.loads(log.read_text())
    assert found.shape == (2, 10) and (told["threads"], told["n"], told["outputs"]) == (2, 2, 10)
    assert 0 < told["p10_ms"] <= told["median_ms"] <= told["p90_ms"]
