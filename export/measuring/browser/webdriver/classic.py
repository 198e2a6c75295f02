"""The classic WebDriver protocol over HTTP: https://www.w3.org/TR/webdriver2/."""

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from export.core.errors import MeasurementError
from export.measuring.browser.tab import LIMIT_S, PATIENCE_S

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of a reference, fixed by the standard
LOOK_S = 0.2
# There are no events, so pages are asked to remember what they complain of, from when they have loaded on.
WATCH = """() => {
  if (globalThis.complaints) return;
  const complaints = (globalThis.complaints = []);
  const logged = console.error;
  console.error = (...parts) => {
    complaints.push(parts.map(String).join(' '));
    logged.apply(console, parts);
  };
  addEventListener('error', ({ message }) => complaints.push(`uncaught: ${message}`));
  addEventListener('unhandledrejection', ({ reason }) => complaints.push(`uncaught: ${reason}`));
  addEventListener('securitypolicyviolation', ({ violatedDirective: rule, blockedURI: what }) =>
    complaints.push(`the security policy (${rule}) forbids ${what}`));
}"""
CALL = """const [argument, done] = arguments;
Promise.resolve(argument).then({script}).then(
  (value) => done({ value: value ?? null }),
  (error) => done({ error: String(error) }),
);"""
# The page may scroll smoothly, which the driver does not wait for.
SHOW = """(selector) => document.querySelector(selector)?.scrollIntoView({ block: 'center', behavior: 'instant' })"""
BEGAN = "() => performance.timeOrigin"
LOADED = "() => document.readyState === 'complete'"


class ClassicSession:
    """A session of a driver that listens at `url`; raises `MeasurementError` when the browser does not start."""

    def __init__(self, url: str, capabilities: dict[str, Any]) -> None:
        self._address, self._path = urlsplit(url).netloc, ""
        begun = self.post("/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._path = f"/session/{begun['sessionId']}"
        limits = {"script": int(LIMIT_S * 1000), "pageLoad": int(PATIENCE_S * 1000), "implicit": int(PATIENCE_S * 1000)}
        self.post("/timeouts", limits)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the value of a command; raises `MeasurementError`."""
        return self._request("POST", path, json.dumps(body))

    def end(self) -> None:
        """End the session and its browser."""
        self._request("DELETE", "", None)

    def _request(self, method: str, path: str, body: str | None) -> Any:
        connection = HTTPConnection(self._address, timeout=LIMIT_S + PATIENCE_S)
        try:
            connection.request(method, self._path + path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        except (OSError, HTTPException, ValueError) as error:
            raise MeasurementError(f"the browser's driver does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise MeasurementError(f"the browser: {value['message'] or value['error']}")
        return value


class ClassicTab:
    """A `Tab` of a session."""

    def __init__(self, session: ClassicSession) -> None:
        self._session = session

    def goto(self, url: str, loads: int = 1) -> None:
        """Go to an address and wait until it was loaded so many times."""
        self._session.post("/url", {"url": url})
        began = self.evaluate(BEGAN)
        for _ in range(loads - 1):
            self._wait(lambda before=began: self.evaluate(BEGAN) != before)  # type: ignore[misc]
            self._wait(lambda: self.evaluate(LOADED) is True)
            began = self.evaluate(BEGAN)
        self.evaluate(WATCH)

    def _wait(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if reached():
                    return
            except MeasurementError:  # a page that is being left answers nothing
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise MeasurementError("the page was not loaded again")
            time.sleep(LOOK_S)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a JavaScript function."""
        body = {"script": CALL.replace("{script}", script), "args": [argument]}
        answer = self._session.post("/execute/async", body)
        if "error" in answer:
            raise MeasurementError(f"the page failed: {answer['error']}")
        return answer["value"]

    def _find(self, selector: str) -> str:
        found = self._session.post("/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def click(self, selector: str) -> None:
        """Click on an element."""
        element = self._find(selector)
        self.evaluate(SHOW, selector)
        self._session.post(f"{element}/click", {})

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file."""
        self._session.post(f"{self._find(selector)}/value", {"text": str(path.resolve())})

    @property
    def troubles(self) -> list[str]:
        """What the page that is shown has complained of since it was loaded."""
        return list(self.evaluate("() => globalThis.complaints ?? []"))
