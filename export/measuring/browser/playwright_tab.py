"""Browsers that Playwright drives: Chromium, and the Firefox and WebKit that it brings itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Frame, Page
from playwright.sync_api import Error as PlaywrightError

from export.core.errors import MeasurementError
from export.measuring.browser.chromium import Troubles, first_line
from export.measuring.browser.tab import PATIENCE_S, Tab


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except PlaywrightError as error:
        raise MeasurementError(f"the page failed: {first_line(error)}") from error


class PlaywrightTab:
    """A `Tab` over a page of Playwright's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._troubles, self._loads = Troubles(page.context), 0
        page.on("framenavigated", self._count)

    def _count(self, frame: Frame) -> None:
        self._loads += frame.parent_frame is None

    def goto(self, url: str, loads: int = 1) -> None:
        """Go to an address and wait until it was loaded so many times."""
        self._loads = 0
        with _explained():
            if loads == 1:
                self.page.goto(url)
                return
            with self.page.expect_event("load", predicate=lambda _: self._loads == loads):
                self.page.goto(url, wait_until="commit")

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a JavaScript function; Playwright has it pass for a visitor's touch."""
        with _explained():
            return self.page.evaluate(script, argument)

    def click(self, selector: str) -> None:
        """Click on an element."""
        with _explained():
            self.page.locator(selector).first.click()

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file."""
        with _explained():
            self.page.locator(selector).first.set_input_files(path)

    @property
    def troubles(self) -> Sequence[str]:
        """What pages have complained of."""
        return self._troubles.messages


class PlaywrightBrowser:
    """A `WebBrowser` over one of Playwright's."""

    def __init__(self, browser: Browser, name: str) -> None:
        self.browser, self.title = browser, f"{name} {browser.version}"

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab of a new profile."""
        with self._context() as context:
            yield PlaywrightTab(context.new_page())

    @contextmanager
    def _context(self) -> Iterator[BrowserContext]:
        with _explained():
            context = self.browser.new_context()
            context.set_default_timeout(PATIENCE_S * 1000)
        try:
            yield context
        finally:
            with _explained():
                context.close()
