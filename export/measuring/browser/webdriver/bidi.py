"""WebDriver BiDi over a WebSocket: https://w3c.github.io/webdriver-bidi/."""

import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from export.core.errors import MeasurementError
from export.measuring.browser.tab import LIMIT_S, PATIENCE_S

# Values travel as JSON text: the protocol's own way of writing them has a type for each.
CALL = "async (text) => JSON.stringify((await ({script})(JSON.parse(text))) ?? null)"
FIND = """async (selector, patience) => {
  for (const end = performance.now() + patience; performance.now() < end; ) {
    const found = document.querySelector(selector);
    if (found) {
      found.scrollIntoView({ block: 'center', behavior: 'instant' });
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`there is no element ${selector}`);
}"""
EVENTS = ("browsingContext.load", "log.entryAdded")


class BidiConnection:
    """A connection to a browser, with the events that have come and were not asked for yet."""

    def __init__(self, url: str) -> None:
        self._socket = connect(url, max_size=None, proxy=None, ping_interval=None, open_timeout=PATIENCE_S)
        self._ids = count(1)
        self.events: list[dict[str, Any]] = []

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command; raises `MeasurementError`."""
        number = next(self._ids)
        try:
            self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while (message := self._receive(LIMIT_S)).get("id") != number:
                self.events.append(message)
        except ConnectionClosed as error:
            raise MeasurementError(f"the browser has ended ({method})") from error
        if message["type"] == "error":
            raise MeasurementError(f"{method}: {message['message'] or message['error']}")
        return dict(message["result"])

    def await_event(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an event, and drop it; raises `MeasurementError` when it does not come."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(map(wanted, self.events)):
            self.events.append(self._receive(deadline - time.monotonic()))
        self.events.remove(next(filter(wanted, self.events)))

    def _receive(self, patience: float) -> dict[str, Any]:
        try:
            return dict(json.loads(self._socket.recv(max(patience, 0))))
        except TimeoutError as error:
            raise MeasurementError("the browser does not answer") from error

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class BidiTab:
    """A `Tab` of a BiDi browser."""

    def __init__(self, connection: BidiConnection, context: str) -> None:
        self._connection, self._context = connection, context
        self._troubles: list[str] = []

    def goto(self, url: str, loads: int = 1) -> None:
        """Go to an address and wait until it was loaded so many times."""
        self._forget_loads()
        self._connection.command("browsingContext.navigate", context=self._context, url=url, wait="none")
        for _ in range(loads):
            self._connection.await_event(self._is_load)

    def _is_load(self, event: dict[str, Any]) -> bool:
        return (event["method"], event["params"].get("context")) == ("browsingContext.load", self._context)

    def _forget_loads(self) -> None:
        self._connection.events[:] = [event for event in self._connection.events if not self._is_load(event)]

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a JavaScript function."""
        text = self._call(CALL.replace("{script}", script), {"type": "string", "value": json.dumps(argument)})
        return json.loads(text["value"])

    def _call(self, function: str, *arguments: Any) -> dict[str, Any]:
        answer = self._connection.command(
            "script.callFunction",
            functionDeclaration=function,
            arguments=list(arguments),
            awaitPromise=True,
            target={"context": self._context},
        )
        if answer["type"] == "exception":
            raise MeasurementError(f"the page failed: {answer['exceptionDetails']['text']}")
        return dict(answer["result"])

    def _find(self, selector: str) -> dict[str, Any]:
        patience = {"type": "number", "value": PATIENCE_S * 1000}
        found = self._call(FIND, {"type": "string", "value": selector}, patience)
        return {"sharedId": found["sharedId"]}

    def click(self, selector: str) -> None:
        """Click on an element."""
        origin = {"type": "element", "element": self._find(selector)}
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self._connection.command("input.performActions", context=self._context, actions=[mouse])

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file."""
        element = self._find(selector)
        self._connection.command("input.setFiles", context=self._context, element=element, files=[str(path.resolve())])

    @property
    def troubles(self) -> list[str]:
        """What pages have logged as errors."""
        events = self._connection.events
        mine = [event for event in events if event["method"] == "log.entryAdded"]
        events[:] = [event for event in events if event not in mine]
        entries = [event["params"] for event in mine]
        own = [entry for entry in entries if entry["source"].get("context", self._context) == self._context]
        self._troubles += [str(entry["text"]) for entry in own if entry["level"] == "error"]
        return self._troubles
