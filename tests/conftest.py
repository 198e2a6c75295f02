"""What the tests share: pages built by the real chain, a tiny model, and a real Chromium that is watched for errors."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulting import (  # hooks and fixtures that pytest finds here
    full,  # noqa: F401
    pytest_addoption,  # noqa: F401
    pytest_collection_modifyitems,  # noqa: F401
    pytest_configure,  # noqa: F401
    pytest_runtest_call,  # noqa: F401
    pytest_runtest_makereport,  # noqa: F401
    tally,  # noqa: F401
)
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright
from sharing import SHARED, one_at_a_time, share_bundle

from export.measuring.browser.chromium import Troubles, launch
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest

EMBEDDED = ModelRequest(model="fashion")
PATIENCE_MS = 120_000  # what a busy machine may take; only a failing test waits so long
expect.set_options(timeout=PATIENCE_MS)

# Before torch is imported: tiny models lose more than they gain by threads, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Every process of a run, and every command that a test starts, imports the same modules: compiled once for all of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What is imported stays, and to look through it for garbage again and again takes seconds: not until all is imported,
# and from then on without it.
gc.disable()
atexit.register(gc.unfreeze)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The artifacts of the shared models for all tests: keyed by all they are made from, so earlier ones are right.

    What writes there does so `one_at_a_time`, for each model.
    """
    return SHARED / "artifacts"


@pytest.fixture(scope="session")
def build_page(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a model's page of some recipes and engines, without measurements, and return its folder."""
    from export.page.site import BuildRequest, build_site
    from export.quantization.recipes import find_recipes

    def build(recipes: str, *engines: str, model: ModelRequest = EMBEDDED) -> Path:
        folder = tmp_path_factory.mktemp("built")
        request = BuildRequest(
            models=(model,),
            recipes=find_recipes(recipes),
            engines=engines or ("auto",),
            artifacts=artifacts,
            measurements=folder / "none.json",
            out=folder / "_site",
        )
        share_bundle()
        with one_at_a_time(model.name):
            build_site(request)
        return request.out

    return build


@pytest.fixture(scope="session")
def render_variants(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Render a model's page of some pairs of recipe and format, made where they are missing."""
    from export.page.assets.bundle import make_bundle
    from export.page.content.inventory import variant_id
    from export.page.render import render
    from export.pipeline.build import make_formats
    from export.pipeline.store import Store
    from export.quantization.recipes import find_recipe

    def build(*variants: tuple[str, str], model: ModelRequest = EMBEDDED) -> Path:
        out = tmp_path_factory.mktemp("rendered") / "_site"
        pairs = tuple((find_recipe(recipe), format) for recipe, format in variants)
        share_bundle()
        with one_at_a_time(model.name):
            made = make_formats(model, pairs, Store(artifacts), force=False)
            render(
                artifacts=artifacts,
                models=[model.name],
                recipes=list(dict.fromkeys(recipe for recipe, _ in variants)),
                bundle=make_bundle(),
                measurements=None,
                variants=set(map(variant_id, made)),
                out=out,
            )
        return out

    return build


@pytest.fixture(scope="session")
def built_site(build_page: Callable[..., Path]) -> Path:
    """The page with two variants, u8 and f32, to be left as it is."""
    return build_page("u8,f32")


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


@pytest.fixture(scope="session")
def site_url(built_site: Path) -> Iterator[str]:
    """The address of the built page as a static host serves it."""
    with serving(built_site) as url:
        yield url


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, of which one thread can have but one."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A headless Chromium without GPU, as a plain machine has it."""
    with launch(playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def software_gpu(playwright: Playwright) -> Iterator[Browser]:
    """A headless Chromium in which the CPU stands in for a GPU."""
    with launch(playwright, software_gpu=True) as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile with empty caches, and without service workers, whose one reload would fall into any test."""
    with chromium.new_context(service_workers="block") as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context


@pytest.fixture
def troubles(context: BrowserContext) -> Iterator[Troubles]:
    """What the context's pages complain of; a test fails over anything that it does not `expect`."""
    troubles = Troubles(context)
    yield troubles
    assert troubles.messages == []


@pytest.fixture
def page(context: BrowserContext, troubles: Troubles) -> Page:
    """A watched page that has opened nothing yet."""
    return context.new_page()
