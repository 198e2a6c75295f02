"""What is asked of any browser: tabs with empty caches, scripts, clicks, files, and what pages complain of."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from export.core.errors import MeasurementError

STATUS = "() => performance.getEntriesByType('navigation')[0]?.responseStatus ?? 0"
TEXT = """(selector) => {
  const found = document.querySelector(selector);
  return found?.getClientRects().length > 0 ? found.innerText : '';
}"""
BAD_REQUEST = 400  # statuses from here on are errors
PATIENCE_S = 120.0  # what a busy machine may take to show an element or to load a page
LIMIT_S = 660.0  # no script runs for longer


class Tab(Protocol):
    """A tab of a browser; every method raises `MeasurementError` with what went wrong in the page or the browser."""

    def goto(self, url: str, loads: int = 1) -> None:
        """Go to an address and wait, without a look into the page, until it was loaded so many times."""

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a JavaScript function with a JSON value; return what it returns, or what its promise resolves to."""

    def click(self, selector: str) -> None:
        """Click on the first element that matches a CSS selector, as a person does, once it is there."""

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an `<input type="file">`."""

    @property
    def troubles(self) -> Sequence[str]:
        """Errors that pages of this tab have logged, and uncaught exceptions."""


class WebBrowser(Protocol):
    """A browser that is running."""

    @property
    def title(self) -> str:
        """Its name and version."""

    def tab(self) -> AbstractContextManager[Tab]:
        """Open a tab with caches and storage of its own, empty at first and gone afterwards."""


@contextmanager
def visit(browser: WebBrowser, url: str) -> Iterator[Tab]:
    """Open an address with empty caches; raises `MeasurementError` when it does not load or logs errors."""
    with browser.tab() as tab:
        tab.goto(url)
        status = tab.evaluate(STATUS)
        if status >= BAD_REQUEST:
            raise MeasurementError(f"{url} returned status {status}")
        try:
            yield tab
        except MeasurementError as error:
            raise MeasurementError(f"{error.message}{listed(tab.troubles)}", hint=error.hint) from error
        if tab.troubles:
            raise MeasurementError(f"the page reported errors:{listed(tab.troubles)}")


def read_text(tab: Tab, selector: str) -> str:
    """Return the text of the first element that matches a CSS selector, '' where there is none or it is hidden."""
    return str(tab.evaluate(TEXT, selector))


def listed(messages: Sequence[str]) -> str:
    """Return messages as indented lines."""
    return "".join(f"\n    {message}" for message in messages)
