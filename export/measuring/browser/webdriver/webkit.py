"""WebKitGTK as the system has it: its small browser on a screen that nobody sees, and its driver."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from export.core.errors import MeasurementError
from export.measuring.browser.tab import Tab
from export.measuring.browser.webdriver.classic import ClassicSession, ClassicTab
from export.measuring.browser.webdriver.processes import first_program, started

DRIVERS = ("WebKitWebDriver",)
BROWSERS = ("/usr/lib/*/webkit2gtk-4.*/MiniBrowser", "/usr/libexec/webkit2gtk-4.*/MiniBrowser")
SCREENS = ("Xvfb",)
INSTALL = "run: playwright install webkit   (or on Debian: apt-get install webkit2gtk-driver xvfb)"
# Without it, WebKitGTK posts no shared memory to workers; Safari does.
SHARED_MEMORY = {"JSC_useSharedArrayBuffer": "1"}


class WebKit:
    """A `WebBrowser`; each tab has a driver and storage of its own, since a driver holds one session at a time."""

    def __init__(self, driver: Path, program: Path, env: dict[str, str]) -> None:
        self._driver, self._program, self._env = driver, program, env
        self.title = f"WebKitGTK {_version(program, env)}"

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open the browser."""
        options = {"binary": str(self._program), "args": ["--automation"]}
        port = _free_port()
        with started([self._driver, f"--port={port}"], lambda: _listens(port), env=self._env):
            session = ClassicSession(f"http://127.0.0.1:{port}", {"webkitgtk:browserOptions": options})
            try:
                yield ClassicTab(session)
            finally:
                with suppress(MeasurementError):  # it may have ended, which is why the block has
                    session.end()


@contextmanager
def webkit(*, shared_memory: bool = True) -> Iterator[WebKit]:
    """Yield WebKitGTK, with `shared_memory` as Safari has it; raises `MeasurementError` when it is not installed."""
    driver, program, screen = map(first_program, (DRIVERS, BROWSERS, SCREENS))
    if driver is None or program is None:
        raise MeasurementError(
            "no WebKit: neither Playwright's own nor WebKitWebDriver with WebKitGTK's MiniBrowser is there",
            hint=INSTALL,
        )
    if screen is None and not os.environ.get("DISPLAY"):
        raise MeasurementError("no WebKit: there is neither Xvfb nor a display", hint=INSTALL)
    with _screen(screen) if screen else nullcontext(os.environ["DISPLAY"]) as display:
        yield WebKit(
            driver, program, {"DISPLAY": display, "GDK_BACKEND": "x11", **(SHARED_MEMORY if shared_memory else {})}
        )


@contextmanager
def _screen(program: Path) -> Iterator[str]:
    """Yield the name of a display that exists within the block."""
    reading, writing = os.pipe()
    command = [str(program), "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading, encoding="utf-8") as answer:
                number = answer.readline().strip()
            if not number:
                raise MeasurementError(f"{program.name} does not start")
            yield f":{number}"
        finally:
            process.terminate()


def _version(program: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [program, "--version"], env={**os.environ, **env}, capture_output=True, encoding="utf-8", check=False
    )
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "of an unknown version"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
