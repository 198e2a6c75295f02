"""Spoilt files of the vit engine, 100,000 or a million: refused, or loaded and run within the memory that is theirs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine_builds import compiled
from faulting import Tally

from export.conversion.engine.compile import Build

pytestmark = [pytest.mark.faults("engine"), pytest.mark.conversion]
ENGINE = Path(__file__).parents[1] / "engine"
FUZZER = ENGINE / "fuzz.mjs"
# Traps on undefined behaviour, and has guards between all that the arena hands out.
CHECKED = Build(
    "vit-checked.wasm",
    "PLAIN",
    threads=False,
    sources=(ENGINE / "guards.c",),
    emulation=ENGINE / "guards.h",
    flags=("-fsanitize=undefined", "-fsanitize-trap=undefined"),
)
SHARES, FEW, ALL = 10, 10_000, 100_000  # files of each share, of which the seeds differ


@pytest.fixture(scope="module")
def checked() -> Path:
    return compiled("checked", (CHECKED,)) / CHECKED.name


@pytest.mark.parametrize("share", range(SHARES))
def test_spoilt_files_do_no_harm(share: int, tiny_engine_file: Path, checked: Path, full: bool, tally: Tally) -> None:
    count = ALL if full else FEW
    command = ["node", str(FUZZER), str(tiny_engine_file), str(checked), str(count), str(share * ALL)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    tally.count("answered", n=found["refused"] + found["loaded"])
    for fault in found["faults"]:
        tally.count("wrong", f"file {fault['file']}: {fault['what']}")
    if found["hung"] is not None:
        tally.count("hung", f"file {found['hung']}")
    assert found["refused"] > count // 2 and found["loaded"] > count // 100  # both ways are tried
