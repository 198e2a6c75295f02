"""What the tests in three browser engines share: each engine's browser with one tab, and a page with all runtimes."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Playwright
from visitor import Visitor

from export.core.errors import MeasurementError
from export.measuring.browser.browsers import BROWSERS, open_browser
from export.measuring.browser.tab import WebBrowser
from export.measuring.browser.webdriver.webkit import webkit

VARIANTS = (("w8_dynamic", "vit"), ("w8_dynamic", "tflite"), ("w8_dynamic", "qdq"), ("u8", "tfjs"))
# There the set-up installs all browsers, so a missing one is a failure.
MUST_BE_THERE = Path("/etc/debian_version").exists() and "CI" in os.environ


@contextmanager
def _there_or_skipped(opening: AbstractContextManager[WebBrowser]) -> Iterator[WebBrowser]:
    """Yield a browser; without one the test is skipped, with the way to it."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(opening)
        except MeasurementError as error:
            if MUST_BE_THERE:
                raise
            pytest.skip(f"{error.message}; {error.hint}")
        yield browser


@pytest.fixture(scope="session", params=BROWSERS)
def browser(request: pytest.FixtureRequest, playwright: Playwright) -> Iterator[WebBrowser]:
    """A browser of each engine, WebKit with shared memory as Safari has it."""
    with _there_or_skipped(open_browser(request.param, playwright)) as browser:
        yield browser


@pytest.fixture
def webkit_as_shipped() -> Iterator[WebBrowser]:
    """WebKitGTK that shares no memory, which is how Debian has it."""
    with _there_or_skipped(webkit(shared_memory=False)) as browser:
        yield browser


@pytest.fixture(scope="session")
def visitor(browser: WebBrowser) -> Iterator[Visitor]:
    """Someone with one tab for all tests: each test's server has an address of its own, and so its own storage."""
    with browser.tab() as tab:
        yield Visitor(tab)


@pytest.fixture(scope="session")
def whole_site(render_variants: Callable[..., Path]) -> Path:
    """The embedded model's page with a variant for each runtime."""
    return render_variants(*VARIANTS)
