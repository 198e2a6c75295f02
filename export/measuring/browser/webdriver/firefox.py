"""Firefox as the system has it; it speaks BiDi itself."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.core.errors import MeasurementError
from export.measuring.browser.tab import Tab
from export.measuring.browser.webdriver.bidi import EVENTS, BidiConnection, BidiTab
from export.measuring.browser.webdriver.processes import first_program, started

NAMES = ("firefox-esr", "firefox", "/Applications/Firefox.app/Contents/MacOS/firefox")
INSTALL = "run: playwright install firefox   (or on Debian: apt-get install firefox-esr)"
SERVER = "WebDriverBiDiServer.json"  # where in its profile Firefox says how to reach it
# It fetches nothing of its own while a page is measured; further ones of the kind it sets itself when it is driven.
PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """A `WebBrowser`; each tab has a user context, which is what Firefox calls a container."""

    def __init__(self, connection: BidiConnection, version: str) -> None:
        self._connection, self.title = connection, f"Firefox {version}"

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab in front, in a user context of its own."""
        command = self._connection.command
        profile = command("browser.createUserContext")["userContext"]
        try:
            context = command("browsingContext.create", type="tab", userContext=profile)["context"]
            command("browsingContext.activate", context=context)
            yield BidiTab(self._connection, context)
        finally:
            command("browser.removeUserContext", userContext=profile)


@contextmanager
def firefox() -> Iterator[Firefox]:
    """Yield a headless Firefox; raises `MeasurementError` when none is installed or it does not start."""
    program = first_program(NAMES)
    if program is None:
        raise MeasurementError(f"no Firefox: neither Playwright's own nor {', '.join(NAMES)} is there", hint=INSTALL)
    with tempfile.TemporaryDirectory(prefix="vit-pages-firefox-", ignore_cleanup_errors=True) as folder:
        profile = Path(folder)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        (profile / "user.js").write_text("".join(lines), "utf-8")
        server = profile / SERVER
        options = ("--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0")
        with started([program, *options], lambda: server.exists() and server.read_text("utf-8").endswith("}")):
            address = json.loads(server.read_text("utf-8"))
            connection = BidiConnection(f"ws://{address['ws_host']}:{address['ws_port']}/session")
            session = connection.command("session.new", capabilities={})
            connection.command("session.subscribe", events=list(EVENTS))
            try:
                yield Firefox(connection, session["capabilities"]["browserVersion"])
            finally:
                connection.close()
