"""Someone who visits a page in any browser: what they open, press and choose, and what they read."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from export.core.errors import MeasurementError
from export.measuring.browser.tab import PATIENCE_S, Tab, read_text

LOOK_S = 0.1
DEVICE = """() => Object.fromEntries(
  [...document.querySelectorAll('#device div')].map(({ children }) => [...children].map((one) => one.textContent)),
)"""


class Visitor:
    """A person with one tab, who waits for what they expect to read."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    def open(self, url: str, variant: str = "w8_dynamic-vit", loads: int = 1) -> None:
        """Open the page with a variant chosen."""
        self.tab.goto(f"{url}?visit={time.monotonic_ns()}#variant={variant}&backend=wasm", loads)
        self.expect("#state", "Ready|reloaded")

    def choose_sample(self, title: str) -> None:
        """Choose one of the samples."""
        self.tab.click(f'.sample[data-title="{title}"]')

    def classify(self) -> None:
        """Choose a sample, and see that it is recognized."""
        self.choose_sample("Bag")
        self.expect("#state", r"Most likely: Bag, \d+\.\d\s%")

    def choose_file(self, path: Path) -> None:
        """Choose a file of one's own."""
        self.tab.choose_file("#file", path)

    def press(self, name: str) -> None:
        """Press a button, by its id."""
        self.tab.click(f"#{name}")

    def read(self, selector: str) -> str:
        """Return what stands there."""
        return read_text(self.tab, selector)

    def device(self, title: str) -> str:
        """Return what the page says of the device under a title, once it is said."""
        wait_until(lambda: title in self._said(), lambda: f"{title} is not in {self._said()}")
        return self._said()[title]

    def _said(self) -> dict[str, str]:
        return dict(self.tab.evaluate(DEVICE))

    def expect(self, selector: str, pattern: str) -> None:
        """Wait until it can be read."""
        wait_until(lambda: re.search(pattern, self.read(selector)), lambda: f"{selector}: {self.read(selector)!r}")


def wait_until(reached: Callable[[], object], describe: Callable[[], str]) -> None:
    """Wait until something is true; a page that is being left tells nothing."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if reached():
                return
        except MeasurementError:
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, describe()
        time.sleep(LOOK_S)
