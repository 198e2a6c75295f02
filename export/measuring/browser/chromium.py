"""Starting Chromium: which one, with which flags, and what goes wrong inside a page."""

import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from export.core.errors import MeasurementError

SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# The suggestions below the address bar, which each window draws in a process of its own, beside the page that is
# measured. Of two such lists Chromium takes the last, so the features that Playwright turns off stand here too.
TURNED_OFF = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
# A measured or tested page talks only to its own server; Chromium's own requests disturb the measurement, and fail in
# a closed network.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    f"--disable-features={','.join(TURNED_OFF)}",
)
# SwiftShader runs WebGL and WebGPU on the CPU: correct, but no measure of any GPU's speed.
SOFTWARE_GPU = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
)
# Chromium falls back to SwiftShader by itself; without it, "available" means a real GPU.
HARDWARE_GPU = ("--disable-software-rasterizer",)


@contextmanager
def chromium(*, software_gpu: bool = False) -> Iterator[Browser]:
    """Yield a headless Chromium; raises `MeasurementError` when none is installed or it does not start."""
    with sync_playwright() as playwright, launch(playwright, software_gpu=software_gpu) as browser:
        try:
            yield browser
        except KeyboardInterrupt:
            # Pending calls end with the browser; asyncio and Playwright would log a traceback for each.
            logging.disable(logging.CRITICAL)
            raise


def launch(playwright: Playwright, *, software_gpu: bool = False, flags: Sequence[str] = ()) -> Browser:
    """Start a headless Chromium with more `flags`; raises `MeasurementError` when it does not start.

    Playwright starts it without its sandbox, as root must; it opens our own page and nothing else.
    """
    path = find_chromium(playwright)
    options = [*QUIET, *(SOFTWARE_GPU if software_gpu else HARDWARE_GPU), *flags]
    try:
        return playwright.chromium.launch(executable_path=path, args=options)
    except PlaywrightError as error:
        raise MeasurementError(
            f"{path} does not start: {first_line(error)}", hint="install another one: playwright install chromium"
        ) from error


def find_chromium(playwright: Playwright) -> Path:
    """Return Playwright's own Chromium when it is installed, else the system's; raises `MeasurementError`."""
    bundled = Path(playwright.chromium.executable_path)
    if bundled.is_file():
        return bundled
    for name in SYSTEM_NAMES:
        if path := shutil.which(name):
            return Path(path)
    raise MeasurementError(
        f"no Chromium: neither Playwright's own nor {', '.join(SYSTEM_NAMES)} on PATH",
        hint="run: playwright install chromium   (or on Debian: apt-get install chromium)",
    )


class Troubles:
    """Errors that pages log: console errors, violations of the security policy among them, and uncaught exceptions."""

    def __init__(self, context: BrowserContext) -> None:
        self.all: list[str] = []
        self.expected: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self.all.append(f"uncaught: {error.error}"))

    def expect(self, pattern: str) -> None:
        """Ignore errors that match the regular expression `pattern`."""
        self.expected.append(pattern)

    @property
    def messages(self) -> list[str]:
        """The errors that match no expected pattern."""
        return [text for text in self.all if not any(re.search(pattern, text) for pattern in self.expected)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            place = message.location.get("url", "")
            self.all.append(f"{message.text} ({place})" if place else message.text)


@contextmanager
def fresh_page(browser: Browser, url: str) -> Iterator[Page]:
    """Open a page with empty caches; raises `MeasurementError` when it does not load or logs errors."""
    with browser.new_context() as context:
        troubles = Troubles(context)
        try:
            page = context.new_page()
            response = page.goto(url)
            if response is None or not response.ok:
                raise MeasurementError(f"{url} returned {f'status {response.status}' if response else 'no response'}")
            yield page
        except PlaywrightError as error:
            raise MeasurementError(f"the page failed: {first_line(error)}{listed(troubles.messages)}") from error
        if troubles.messages:
            raise MeasurementError(f"the page reported errors:{listed(troubles.messages)}")


def listed(messages: Sequence[str]) -> str:
    """Return messages as indented lines."""
    return "".join(f"\n    {message}" for message in messages)


def first_line(error: PlaywrightError) -> str:
    """Return what a Playwright error says, without its call log."""
    return error.message.strip().splitlines()[0]
