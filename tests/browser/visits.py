"""Visits to a site whose service worker is at work: hosts that fail, pages that reload, sites that change."""

import json
import re
import socket
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import ClassVar

from playwright.sync_api import BrowserContext, Frame, Page, expect

from export.core.files import hash_json
from export.measuring.browser.server import PagesHandler

CHOICE = "#variant=u8-tfjs&backend=wasm"
SHELLS = "(await caches.keys()).filter((name) => name.startsWith('vit-pages:shell:'))"
UPDATED = """async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  await registration.update().catch(() => {});  // told when it has begun
  while (registration.installing) await new Promise((resolve) => setTimeout(resolve, 50));
}"""


class Handler(PagesHandler):
    """Serves well but for the files named in `spoilt`, holds back those in `held`, and hangs up once it is `gone`."""

    gone: ClassVar[Event] = Event()
    spoilt: ClassVar[set[str]] = set()
    held: ClassVar[set[str]] = set()
    released: ClassVar[Event] = Event()

    def do_GET(self) -> None:  # noqa: N802 (the name http.server asks for)
        if not self.gone.is_set():  # a server that has ended goes on answering on the connections it has
            return super().do_GET()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_file(self, path: Path) -> None:
        if path.name in self.held:
            self.released.wait(60)
        if path.name not in self.spoilt:
            return super().answer_file(path)
        kind = "text/css" if path.suffix == ".css" else "text/html"
        self.send(HTTPStatus.OK, path.read_bytes() + b"\n", {"Content-Type": kind})


class Visit:
    """A page and its loads; Playwright's looks into it pass for a visitor's touch, after which it does not reload."""

    def __init__(self, context: BrowserContext) -> None:
        self.page, self.loads = context.new_page(), 0
        self.page.on("framenavigated", self._count)

    def _count(self, frame: Frame) -> None:
        self.loads += 1

    def open(self, url: str, loads: int = 1) -> Page:
        """Open an address and wait, without a look into the page, until it was loaded so many times."""
        with self.page.expect_event("load", predicate=lambda _: self.loads == loads):
            self.page.goto(url + CHOICE, wait_until="commit")
        return self.page


def isolated(page: Page) -> bool:
    return bool(page.evaluate("crossOriginIsolated"))


def device(page: Page, title: str) -> str:
    """Return what the page says of the device under a title, once it is said."""
    row = page.locator("#device div").filter(has=page.get_by_text(title, exact=True)).locator("dd")
    expect(row).not_to_be_empty()
    return row.inner_text()


def classify(page: Page) -> None:
    page.get_by_role("button", name="Sample: Bag").click()
    expect(page.locator("#state")).to_contain_text("Most likely")


def shells(page: Page) -> list[str]:
    names: list[str] = page.evaluate(f"async () => {SHELLS}")
    return names


def expect_in_charge(page: Page, mode: str) -> None:
    """Wait until the service worker serves the page in that mode; `evaluate` waits for the promise."""
    page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    active = page.evaluate("async () => (await navigator.serviceWorker.getRegistration()).active.scriptURL")
    assert active.endswith(f"/sw.js?mode={mode}")


class Release:
    """A site on disk, and what its service worker is told of it; to be changed and published as another version."""

    def __init__(self, site: Path) -> None:
        self.site = site
        first, _, self.body = (site / "sw.js").read_text().partition(";\n")
        self.shell: dict[str, dict[str, str]] = json.loads(first.removeprefix("const SHELL="))

    def put(self, path: str, data: bytes, listed: bytes | None = None) -> None:
        """Write a file; `listed` is what the list says of it: left out, the truth."""
        (self.site / path).write_bytes(data)
        self.shell["files"][path] = sha256(data if listed is None else listed).hexdigest()

    def remove(self, path: str) -> None:
        """Take a file away."""
        (self.site / path).unlink()
        del self.shell["files"][path]

    def find(self, pattern: str) -> list[str]:
        """Return the listed paths that hold a regular expression."""
        return [path for path in self.shell["files"] if re.search(pattern, path)]

    def publish(self) -> None:
        """Write the list."""
        lists = {name: self.shell[name] for name in ("files", "later")}
        listed = json.dumps({"digest": hash_json(lists)[:16], **lists})
        (self.site / "sw.js").write_text(f"const SHELL={listed};\n{self.body}")
