"""Bad networks, files and browsers through the real page: a clear message, a way on, nothing rotten kept."""

import platform
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest
from playwright.sync_api import Locator, Page, Playwright, expect

from export.measuring.browser.chromium import Troubles, launch
from export.measuring.browser.page_client import read_site_data
from export.measuring.browser.server import PagesHandler, serving

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


def cached_hashes(page: Page) -> set[str]:
    """Return the last part of every address that the page's caches hold: the SHA-256 of what is kept."""
    kept: list[str] = page.evaluate(
        """async () => {
          const names = (await caches.keys()).filter((name) => name.startsWith('vit-pages:'));
          const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
          return requests.flat().map(({ url }) => url.split('/').at(-1));
        }"""
    )
    return set(kept)


def files_of(site: Path, variant: str) -> dict[str, str]:
    """Return the SHA-256 of each file of a variant of the site's first model, and of its reference images."""
    model = read_site_data(site)["models"][0]
    (found,) = [one for one in model["variants"] if one["id"] == variant]
    return {file["path"]: file["sha256"] for file in (*found["files"], model["selftest"])}


@pytest.mark.faults("network")
@pytest.mark.parametrize(
    ("trick", "message", "console"),
    [
        (corrupted, "SHA-256", None),
        (truncated, "should have .* bytes", None),
        (answered_404, "404", "404"),
        (replaced_by_html, "web page instead", None),
        (rate_limited, "429", "429"),
        (cut_off, "connection for .* (was lost|failed)", "ERR_"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_bad_download_is_named_not_kept_and_can_be_retried(
    page: Page,
    troubles: Troubles,
    url: str,
    handler: type[TrickyHandler],
    built_site: Path,
    trick: Trick,
    message: str,
    console: str | None,
) -> None:
    if console:
        troubles.expect(console)
    files = files_of(built_site, "f32-tfjs")  # whose weights come in several files
    last = max(name for name in files if "shard" in name)
    handler.tricks[last] = [trick] * 10
    open_page(page, url, "variant=f32-tfjs&backend=wasm")
    load(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile(message))
    expect(alert).to_contain_text(last)
    kept = cached_hashes(page)
    assert files[last] not in kept
    handler.tricks.clear()
    handler.asked.clear()
    page.get_by_role("button", name="Try again").click()
    expect_loaded(page)
    fetched_again = {files[name] for name in handler.asked if name in files}
    assert fetched_again == set(files.values()) - kept  # what was verified is not downloaded again
    assert cached_hashes(page) == set(files.values())


@pytest.mark.faults("network")
def test_cancelled_download_stops_and_can_be_started_again(
    page: Page, troubles: Troubles, url: str, handler: type[TrickyHandler]
) -> None:
    troubles.expect("ERR_")
    released = Event()

    def stalled(answering: PagesHandler, body: bytes) -> None:
        answering.send_response(200)
        answering.send_header("Content-Length", str(len(body)))
        answering.end_headers()
        answering.wfile.write(body[: len(body) // 2])
        answering.wfile.flush()
        released.wait(60)
        answering.close_connection = True

    handler.tricks["shard"] = [stalled]
    open_page(page, url)
    load(page)
    expect(
        page.get_by_text(re.compile(r"\d[^/]* of 2\.\d+\sMB"))
    ).to_be_visible()  # bytes so far, of our own manifest's
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_contain_text("Cancelled")
    expect(page.get_by_role("alert")).to_be_hidden()
    released.set()
    load(page)
    expect_loaded(page)


def test_second_visit_downloads_no_weights(page: Page, url: str, handler: type[TrickyHandler]) -> None:
    open_page(page, url)
    load(page)
    expect_loaded(page)
    handler.asked.clear()
    page.reload()
    load(page)
    expect_loaded(page)
    expect(page.get_by_text("Loaded from this device")).to_be_visible()
    assert not [name for name in handler.asked if "shard" in name or name == "model.json"]


@pytest.mark.faults("network")
def test_damaged_cache_entry_is_evicted_and_replaced(page: Page, url: str, built_site: Path) -> None:
    open_page(page, url)
    load(page)
    expect_loaded(page)
    page.evaluate(
        """async () => {
          for (const name of await caches.keys()) {
            const cache = await caches.open(name);
            for (const request of await cache.keys()) await cache.put(request, new Response('rubbish'));
          }
        }"""
    )
    page.reload()
    load(page)
    expect_loaded(page)
    lengths: list[int] = page.evaluate(
        """async () => {
          const cache = await caches.open((await caches.keys())[0]);
          const answers = await Promise.all((await cache.keys()).map((request) => cache.match(request)));
          return Promise.all(answers.map(async (answer) => (await answer.arrayBuffer()).byteLength));
        }"""
    )
    assert len(lengths) == len(files_of(built_site, "u8-tfjs")) and min(lengths) > len("rubbish")


def test_back_end_that_is_not_here_names_those_that_are(page: Page, url: str) -> None:
    open_page(page, url, "variant=u8-tfjs&backend=webgpu")
    load(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("webgpu")
    expect(alert).to_contain_text(re.compile("wasm.*cpu"))
    page.get_by_label("WebAssembly (CPU)").check()
    load(page)
    expect_loaded(page)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="only x86 processors can be told to lack SIMD"
)
def test_browser_without_simd_is_told_what_runs_instead(playwright: Playwright, url: str) -> None:
    # Without SSE 4.1 Chromium's engine offers no WebAssembly SIMD.
    flags = ["--js-flags=--no-enable-sse4-1"]
    with launch(playwright, flags=flags) as browser, browser.new_page(service_workers="block") as page:
        open_page(page, url)
        load(page)
        expect(page.get_by_role("alert")).to_contain_text("SIMD")
        expect(page.get_by_role("alert")).to_contain_text("cpu")
        page.goto(f"{url}#variant=u8-tfjs&backend=cpu")
        page.reload()
        load(page)
        expect_loaded(page)
