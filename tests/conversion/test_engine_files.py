"""Files that our engine cannot run: refused when they are made, with the reason, and when they are read."""

import subprocess
from pathlib import Path

import pytest
from engine_models import ENGINE_TESTS, all_builds, quantized

pytestmark = pytest.mark.conversion


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    file = quantized("vit_tiny_patch16_224", {"depth": 1}, "w8_dynamic", tmp_path).file
    command = ["node", str(ENGINE_TESTS / "hostile.test.mjs"), str(file), str(all_builds())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
