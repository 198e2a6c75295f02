"""Recipes of a model share what they see of the float model, by content, and the build leaves nothing of it behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import tiny
from torch import Tensor, nn

from export.models.choice.request import ModelRequest
from export.pipeline.build import quantize
from export.pipeline.session import BuildSession
from export.pipeline.stage import SHARED
from export.pipeline.store import Store
from export.quantization.calibration import calibrate as module_of_calibrate
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.kept import sensitivity_cache
from export.quantization.calibration.kept.sensitivity_cache import SensitivityCache, sensitivity_key
from export.quantization.methods import METHODS, Calibration
from export.quantization.recipes import find_recipe, quantizing


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passes through the float model that are made for sensitivities."""
    made: list[str] = []
    original = module_of_calibrate.observe_sensitivity

    def counted(*arguments: object, **options: object) -> dict[str, Tensor]:
        made.append(str(options["gradient"]))
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module_of_calibrate, "observe_sensitivity", counted)
    return made


def state(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


def test_the_second_recipe_takes_what_the_first_has_seen_and_chooses_the_same(
    tmp_path: Path, passes: list[str]
) -> None:
    _, module, images = tiny("vit")
    cache = SensitivityCache(tmp_path / "shared")
    calibrate(module, find_recipe("w8a8_gptq"), images, cache=cache)
    reused = calibrate(module, find_recipe("w4a8_gptq"), images, cache=cache)
    assert passes == ["fisher"]
    alone = calibrate(module, find_recipe("w4a8_gptq"), images)
    assert passes == ["fisher", "fisher"]
    expected = state(alone)
    assert all(torch.equal(value, expected[name]) for name, value in state(reused).items())
    calibrate(module, find_recipe("w4a8_gptq"), images + 1, cache=cache)
    assert len(passes) == 3  # other images


def test_the_key_is_all_content() -> None:
    _, module, images = tiny("vit")
    key = sensitivity_key(module, images, "fisher", 0, ["head"])
    assert key == sensitivity_key(module, images.clone(), "fisher", 0, ["head"])
    _, other, _ = tiny("distilled")
    others = [
        sensitivity_key(other, images, "fisher", 0, ["head"]),
        sensitivity_key(module, images + 1, "fisher", 0, ["head"]),
        sensitivity_key(module, images, "gaussian", 0, ["head"]),
        sensitivity_key(module, images, "fisher", 1, ["head"]),
        sensitivity_key(module, images, "fisher", 0, ["head", "stem"]),
    ]
    assert len({key, *others}) == 6


def test_the_oldest_go_when_the_files_exceed_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity_cache, "KEPT_BYTES", 3000)
    cache = SensitivityCache(tmp_path)
    for index, key in enumerate("abc"):
        found = cache.obtain(key, lambda index=index: {"layer": torch.full((300,), float(index))})  # type: ignore[misc]
        assert found["layer"][0] == index
    assert {path.stem for path in tmp_path.iterdir()} == {"b", "c"}
    cache.obtain("large", lambda: {"layer": torch.zeros(3000)})
    assert {path.stem for path in tmp_path.iterdir()} == {"b", "c"}


def test_a_session_shares_it_and_drops_it_at_its_end(
    tmp_path: Path, passes: list[str], tiny_models: Callable[..., None]
) -> None:
    tiny_models("deit_t")
    request, store = ModelRequest(model="deit_t", weights="random"), Store(tmp_path)
    eight, four, three = (
        quantizing(METHODS["gptq"], bits, None, calibration=Calibration(images=8)) for bits in (8, 4, 3)
    )
    with BuildSession(request, store) as session:
        session.obtain("safetensors", eight)
        assert list((tmp_path / "deit_t" / SHARED).iterdir())
        session.obtain("safetensors", four)
    assert passes == ["fisher"]
    assert not (tmp_path / "deit_t" / SHARED).exists()
    quantize(request, three, ("safetensors",), store, force=False)
    assert len(passes) == 2 and not (tmp_path / "deit_t" / SHARED).exists()
