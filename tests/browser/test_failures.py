"""Bad networks, files and browsers through the real page: a clear message, a way on, nothing rotten kept."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from export.browser import Troubles, launch
from export.serve import PagesHandler, serving

pytestmark = pytest.mark.browser

Trick = Callable[[PagesHandler, bytes], None]
OCTETS = {"Content-Type": "application/octet-stream"}


class TrickyHandler(PagesHandler):
    """Serves well but for the first answers to the file that `tricks` names; remembers what was asked for."""

    tricks: ClassVar[dict[str, list[Trick]]] = {}
    asked: ClassVar[list[str]] = []

    def answer_file(self, path: Path) -> None:
        self.asked.append(path.name)
        waiting = next((tricks for name, tricks in self.tricks.items() if re.search(name, path.name) and tricks), None)
        if waiting is None:
            return super().answer_file(path)
        waiting.pop(0)(self, path.read_bytes())


def corrupted(handler: PagesHandler, body: bytes) -> None:
    middle = len(body) // 2
    handler.send(200, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :], OCTETS)


def truncated(handler: PagesHandler, body: bytes) -> None:
    handler.send(200, body[: len(body) // 2], OCTETS)


def answered_404(handler: PagesHandler, body: bytes) -> None:
    handler.not_found()


def replaced_by_html(handler: PagesHandler, body: bytes) -> None:
    handler.send(200, b"<!doctype html><title>Welcome</title>" + bytes(2000), {"Content-Type": "text/html"})


def rate_limited(handler: PagesHandler, body: bytes) -> None:
    handler.send(429, b"<!doctype html><title>Too many requests</title>", {"Content-Type": "text/html"})


def cut_off(handler: PagesHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def handler() -> type[TrickyHandler]:
    return type("Handler", (TrickyHandler,), {"tricks": {}, "asked": []})


@pytest.fixture
def url(built_site: Path, handler: type[TrickyHandler]) -> Iterator[str]:
    with serving(built_site, handler=handler, base_path="/repo/") as address:
        yield address


def open_page(page: Page, url: str, choice: str = "variant=u8-tfjs&backend=wasm") -> None:
    page.goto(f"{url}#{choice}")
    expect(state(page)).to_contain_text("Ready")


def state(page: Page) -> Locator:
    return page.locator("#state")


def load(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Load")).click()


def expect_loaded(page: Page) -> None:
    expect(page.get_by_role("button", name="Load again")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def cached_names(page: Page) -> list[str]:
    names: list[str] = page.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async (name) =>
             (await (await caches.open(name)).keys()).map((request) => `${name} ${request.url}`)))).flat()"""
    )
    return names


@pytest.mark.parametrize(
    ("trick", "message", "console"),
    [
        (corrupted, "hash|SHA-256|differ", None),
        (truncated, "bytes", None),
        (answered_404, "404|HTML", "404"),
        (replaced_by_html, "HTML", None),
        (rate_limited, "429", "429"),
        (cut_off, "connection|network", "ERR_"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_bad_download_is_named_not_kept_and_can_be_retried(
    page: Page,
    troubles: Troubles,
    url: str,
    handler: type[TrickyHandler],
    trick: Trick,
    message: str,
    console: str | None,
) -> None:
    if console:
        troubles.expect(console)
    handler.tricks["shard1of"] = [trick] * 10
    open_page(page, url)
    load(page)
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    expect(alert).to_contain_text(re.compile(message))
    expect(alert).to_contain_text("shard1of")
    assert not [name for name in cached_names(page) if "shard" in name]
    handler.tricks.clear()
    before = handler.asked.count("model.json")
    page.get_by_role("button", name="Try again").click()
    expect_loaded(page)
    assert handler.asked.count("model.json") == before == 1  # what was verified is not downloaded again
