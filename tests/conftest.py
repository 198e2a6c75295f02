"""What the tests share: a page built by the real chain, a server, and a real Chromium that is watched for errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from export.measuring.browser.chromium import Troubles, launch
from export.measuring.browser.server import serving

PATIENCE_MS = 60_000  # what a busy machine may take; only a failing test waits so long
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where `built_site` has its artifacts: keyed by all they are made from, so an earlier run's are still right."""
    return Path(".cache/tests/artifacts").absolute()


@pytest.fixture(scope="session")
def built_site(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's page with two variants, u8 and f32, and no measurements."""
    from export.build import BuildRequest, build
    from export.models.request import ModelRequest
    from export.quantization.recipes import find_recipes

    folder = tmp_path_factory.mktemp("built")
    build(
        BuildRequest(
            models=(ModelRequest(model="fashion"),),
            recipes=find_recipes("u8,f32"),
            artifacts=artifacts,
            measurements=folder / "none.json",
            out=folder / "_site",
        )
    )
    return folder / "_site"


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
