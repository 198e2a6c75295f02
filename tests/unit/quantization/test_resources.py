"""Where calibration runs: the device that is named, and a GPU that chooses what the CPU does."""

import os
import platform
from pathlib import Path

import pytest
import torch

from export.build import read_request
from export.core.environment.machine import return_freed_memory
from export.core.errors import RequestError
from export.evaluate import main as evaluate
from export.models.choice.request import ModelRequest
from export.pipeline.build import float_artifact
from export.pipeline.store import Store
from export.quantization.evaluation.device_records import check
from export.quantization.evaluation.devices import compare_devices
from export.quantization.recipes import find_recipes
from export.quantization.resources import find_device

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_the_cpu_is_there_and_auto_takes_a_gpu_only_where_there_is_one() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "mps", ""])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="is no device"):
        read_request(["--device", name])


def test_a_gpu_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(RequestError, match=f"--device {missing}: PyTorch .* has no such GPU"):
        read_request(["--device", missing])
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="has no such GPU; it sees none"):
            evaluate(["--compare-devices", "--artifacts", str(tmp_path / "none")])
        assert not list(tmp_path.iterdir())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no C library that keeps freed memory")
def test_freed_memory_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    pieces = [b"1" * 100_000 for _ in range(2000)]  # too small for pages of their own
    del pieces[:-1]  # what remains lies behind all that was freed
    before = resident()
    return_freed_memory()
    assert resident() < before - 100_000_000


@NO_GPU
def test_a_gpu_chooses_what_the_cpu_does(tmp_path: Path) -> None:
    folder = float_artifact(ModelRequest(model="fashion"), Store(tmp_path))
    recipes = find_recipes("w8a8_gptq,w4a8_gptq,w4a4_aqer,w8a8_ptq4vit,w6a6_ptq4vit_published,w8a8_percentile")
    table = compare_devices(folder, recipes, data=None, path=tmp_path / "devices.json")
    check(table)
    assert [row.recipe for row in table.rows] == [recipe.name for recipe in recipes]
    assert all(row.equal_codes > 0.9 for row in table.rows)
