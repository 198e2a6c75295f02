"""The browsers that a page can be opened in: Playwright's own where they are installed, otherwise the system's."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import BrowserType, Playwright, sync_playwright

from export.core.errors import RequestError
from export.measuring.browser.chromium import launch
from export.measuring.browser.playwright_tab import PlaywrightBrowser
from export.measuring.browser.tab import WebBrowser
from export.measuring.browser.webdriver.firefox import firefox
from export.measuring.browser.webdriver.webkit import webkit


@dataclass(frozen=True, slots=True)
class BrowserKind:
    """A browser engine: its name for people, and how the system's own is opened; Chromium is Playwright's to open."""

    title: str
    open_system: Callable[[], AbstractContextManager[WebBrowser]] | None


# Their names begin as those in `export/page/results_view.py`.
BROWSERS = {
    "chromium": BrowserKind("Chromium", None),
    "firefox": BrowserKind("Firefox", firefox),
    "webkit": BrowserKind("WebKit", webkit),
}


@contextmanager
def open_browser(name: str, playwright: Playwright, *, software_gpu: bool = False) -> Iterator[WebBrowser]:
    """Yield a browser of the table; raises `RequestError` for another, `MeasurementError` where there is none."""
    kind = BROWSERS.get(name)
    if kind is None:
        raise RequestError(f"--browser {name}: there is none", hint=f"browsers: {', '.join(BROWSERS)}")
    if kind.open_system is None:
        with launch(playwright, software_gpu=software_gpu) as browser:
            yield PlaywrightBrowser(browser, kind.title)
        return
    own: BrowserType = getattr(playwright, name)
    if Path(own.executable_path).is_file():
        with own.launch() as browser:
            yield PlaywrightBrowser(browser, f"{kind.title} (Playwright)")
        return
    with kind.open_system() as opened:
        yield opened


@contextmanager
def running_browsers(names: Sequence[str], *, software_gpu: bool = False) -> Iterator[list[WebBrowser]]:
    """Yield browsers of the table, side by side, with a Playwright of their own; see `open_browser`."""
    with sync_playwright() as playwright, ExitStack() as stack:
        opened = [stack.enter_context(open_browser(name, playwright, software_gpu=software_gpu)) for name in names]
        try:
            yield opened
        except KeyboardInterrupt:
            # Pending calls end with the browser; asyncio and Playwright would log a traceback for each.
            logging.disable(logging.CRITICAL)
            raise
