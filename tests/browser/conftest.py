"""What tests in browsers share: a tiny model; for the service worker, a browser, a host that can fail, and a site."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Browser, BrowserContext
from visits import Handler, Release

from export.measuring.browser.chromium import Troubles
from export.models.choice.request import ModelRequest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelRequest:
    """A model that is quick to convert, and to run where the CPU stands in for a GPU or JavaScript computes."""
    import timm
    from safetensors.torch import save_file

    from export.models.weights.randomise import randomise

    module = timm.create_model("vit_tiny_patch16_224", img_size=28, patch_size=7, depth=2, num_classes=10).eval()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(randomise(module, seed=1).state_dict(), path)
    return ModelRequest(model="timm/vit_tiny_patch16_224", checkpoint=path)


@pytest.fixture(scope="session")
def tiny_site(tiny_model: ModelRequest, build_page: Callable[..., Path]) -> Path:
    """The tiny model's page with two variants, u8 and f32, to be left as it is."""
    return build_page("u8,f32", model=tiny_model)


@pytest.fixture
def handler() -> type[Handler]:
    return type("Handler", (Handler,), {"gone": Event(), "spoilt": set(), "held": set(), "released": Event()})


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile that allows service workers, as visitors' do."""
    with chromium.new_context() as context:
        context.set_default_timeout(120_000)
        troubles = Troubles(context)
        troubles.expect("ERR_")  # what a visit without a network asks for in vain
        yield context
        assert troubles.messages == []


@pytest.fixture
def release(built_site: Path, tmp_path: Path) -> Release:
    """A copy of the built site."""
    shutil.copytree(built_site, tmp_path / "_site")
    return Release(tmp_path / "_site")
