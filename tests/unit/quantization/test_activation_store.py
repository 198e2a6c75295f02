"""A memory budget changes where activations lie, not what is chosen, and leaves no file behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import searching_less, tiny

from export.build import read_request
from export.core.environment.machine import free_memory
from export.core.errors import RequestError
from export.models.choice.request import ModelRequest
from export.pipeline.build import quantize
from export.pipeline.store import Store
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.kept.activation_store import ActivationStore
from export.quantization.methods import METHODS, Calibration
from export.quantization.recipes import find_recipe, quantizing
from export.quantization.resources import LEAST_MEMORY, Resources, memory_budget, read_memory


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["w8a8_gptq", "w4a4_aqer", "w6a6_ptq4vit", "w8a8_percentile", "w8a8_smoothquant"])
@pytest.mark.parametrize("family", ["vit", "swin"])
def test_what_is_on_disk_gives_the_same_bits(family: str, recipe: str, tmp_path: Path) -> None:
    _, module, images = tiny(family)
    images, chosen = images[:11], searching_less(find_recipe(recipe))
    store = ActivationStore(100_000, tmp_path)
    with torch.no_grad():
        spilled = calibrate(module, chosen, images, store=store).state_dict()
        expected = calibrate(module, chosen, images).state_dict()
    assert store.spilled and "were on disk" in store.note()
    assert spilled.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in spilled.items())
    assert not list(tmp_path.iterdir())


def test_files_have_no_names_even_while_they_are_used_and_memory_is_used_again(tmp_path: Path) -> None:
    store, like = ActivationStore(1000, tmp_path / "new"), torch.zeros(1)
    first = store.empty((200,), like)
    assert store.spilled == 0
    second = store.empty((10, 20), like)
    second.fill_(3)
    assert store.spilled == 800 and second.sum() == 600 and not list((tmp_path / "new").iterdir())
    del first
    store.empty((200,), like)
    assert store.spilled == 800
    assert ActivationStore().empty((2, 3), like).shape == (2, 3)


@pytest.mark.slow
def test_a_build_says_what_was_on_disk(
    tiny_models: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_models("deit_t")
    recipe = quantizing(METHODS["gptq"], 8, None, calibration=Calibration(images=8))
    request, store = ModelRequest(model="deit_t", weights="random"), Store(tmp_path)
    quantize(request, recipe, ("safetensors",), store, force=False, resources=Resources(memory=LEAST_MEMORY))
    assert "on disk" not in capsys.readouterr().out  # eight small images fit
    little = Resources(memory=50_000)
    quantize(request, recipe, ("safetensors",), store, force=True, resources=little)
    assert "activations beyond --memory 50.0\u00a0kB were on disk" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4G", 4_000_000_000), ("1.5GB", 1_500_000_000), ("800MiB", 800 * 1024**2), ("2gib", 2 * 1024**3), ("0.5t", 5e11)],
)
def test_sizes_are_read(text: str, expected: float) -> None:
    assert read_memory(text) == expected
    assert read_request(["--memory", text]).resources.memory == expected


@pytest.mark.parametrize("text", ["", "much", "-4G", "4X", "4 G B", "1e9", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is not a size"):
        read_request([f"--memory={text}"])


@pytest.mark.parametrize("text", ["0", "4", "0G", "99M"])
def test_too_little_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="calibration needs"):
        read_request([f"--memory={text}"])


def test_without_an_option_half_of_what_is_free_is_used() -> None:
    assert 0 < memory_budget(Resources()) <= free_memory()
    assert memory_budget(Resources(memory=123)) == 123
