"""The service worker on a host without headers: threads after one reload, visits without a network, nothing broken."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from export.browser import Troubles
from export.serve import PagesHandler, serving
from export.store import hash_json

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread, so nothing is reloaded for more"),
]

PATIENCE_MS = 60_000
CHOICE = "#variant=u8-tfjs&backend=wasm"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1"
SHELLS = "(await caches.keys()).filter((name) => name.startsWith('vit-pages:shell:'))"
HEARD = """addEventListener('DOMContentLoaded', () => {
  const state = document.getElementById('state');
  const listen = () => { sessionStorage.heard = `${sessionStorage.heard ?? ''}${state.textContent}|`; };
  new MutationObserver(listen).observe(state, { childList: true, subtree: true });
});"""
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


@pytest.fixture
def handler() -> type[Handler]:
    return type("Handler", (Handler,), {"gone": Event(), "spoilt": set(), "held": set(), "released": Event()})


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile that allows service workers, as visitors' do."""
    with chromium.new_context() as context:
        context.set_default_timeout(PATIENCE_MS)
        troubles = Troubles(context)
        troubles.expect("ERR_")  # what a visit without a network asks for in vain
        yield context
        assert troubles.messages == []


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


def republish(site: Path, *, index: bytes, listed: bytes | None = None, removed: str = "") -> None:
    """Put another version of a site in its place: another front page, and without the assets of one ending.

    `listed` is what the list of its service worker says of the front page; left out, the truth.
    """
    (site / "index.html").write_bytes(index)
    worker = site / "sw.js"
    first, _, body = worker.read_text().partition(";\n")
    files: dict[str, str] = json.loads(first.removeprefix("const SHELL="))["files"]
    files["index.html"] = sha256(listed or index).hexdigest()
    for path in [path for path in files if removed and path.endswith(removed)]:
        (site / path).unlink()
        del files[path]
    shell = json.dumps({"digest": hash_json(files)[:16], "files": files})
    worker.write_text(f"const SHELL={shell};\n{body}")


@pytest.mark.parametrize("base_path", ["/", "/repo/"])
def test_threads_after_one_reload_and_at_once_on_the_next_visit(
    visitor: BrowserContext, built_site: Path, base_path: str
) -> None:
    visitor.add_init_script(HEARD)
    with serving(built_site, base_path=base_path) as url:
        first = Visit(visitor)
        page = first.open(url, loads=2)
        expect(page.locator("#state")).to_contain_text("reloaded once")
        assert page.evaluate("sessionStorage.heard").count("Reloading once to switch on threads") == 1
        assert isolated(page) and int(device(page, "Threads possible")) > 1
        classify(page)
        assert int(device(page, "Threads")) > 1
        assert page.url == url + CHOICE
        second = Visit(visitor)
        page = second.open(url)
        classify(page)
        assert isolated(page) and (first.loads, second.loads) == (2, 1)
        expect(page.locator("#state")).not_to_contain_text("reloaded")


def test_visit_without_a_network_classifies(visitor: BrowserContext, built_site: Path, handler: type[Handler]) -> None:
    with serving(built_site, base_path="/repo/", handler=handler) as url:
        page = Visit(visitor).open(url, loads=2)
        classify(page)
        page.close()
        handler.gone.set()
        page = Visit(visitor).open(f"{url}?model=anything")
        classify(page)
        expect(page.locator("#load-note")).to_contain_text("Loaded from this device")
        assert isolated(page) and int(device(page, "Threads")) > 1
        for name in ("Results", "Method", "Classify"):
            page.get_by_role("navigation").get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", level=1)).to_be_visible()
    stored: list[str] = page.evaluate(
        f"""async () => {{
          const names = {SHELLS};
          const kept = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
          return kept.flat().map(({{ url }}) => url);
        }}"""
    )
    assert stored and not [address for address in stored if "/models/" in address]  # weights are stored once


def test_tampered_file_is_not_kept_and_the_page_works_without(
    visitor: BrowserContext, built_site: Path, handler: type[Handler]
) -> None:
    (style,) = [path.name for path in (built_site / "assets").glob("*.css")]
    handler.spoilt.add(style)
    with serving(built_site, base_path="/repo/", handler=handler) as url:
        visit = Visit(visitor)
        page = visit.open(url)
        expect(page.locator("#device")).to_contain_text("the service worker could not be set up")
        classify(page)
        assert shells(page) == [] and visit.loads == 1
        assert device(page, "Threads").startswith("1: ")


def test_picture_being_classified_is_not_lost_to_the_reload(
    visitor: BrowserContext, built_site: Path, handler: type[Handler]
) -> None:
    handler.held.add("sw.js")
    with serving(built_site, handler=handler) as url:
        visit = Visit(visitor)
        page = visit.open(url)
        classify(page)
        handler.released.set()
        expect(page.locator("#device")).to_contain_text("from the next visit")
        assert visit.loads == 1
        second = Visit(visitor)
        page = second.open(url)
        assert isolated(page) and second.loads == 1


def test_browser_that_does_not_isolate_is_reloaded_once(visitor: BrowserContext, built_site: Path) -> None:
    visitor.add_init_script("Object.defineProperty(globalThis, 'crossOriginIsolated', { value: false })")
    with serving(built_site) as url:
        visit = Visit(visitor)
        page = visit.open(url, loads=2)
        expect(page.locator("#device")).to_contain_text("the browser does not isolate this page")
        page.reload()
        expect(page.locator("#device")).to_contain_text("the browser does not isolate this page")
        assert visit.loads == 3


def test_iphone_is_not_isolated_but_keeps_the_page(chromium: Browser, built_site: Path, handler: type[Handler]) -> None:
    with chromium.new_context(user_agent=IPHONE) as context, serving(built_site, handler=handler) as url:
        visit = Visit(context)
        page = visit.open(url)
        expect_in_charge(page, "plain")
        assert device(page, "Threads possible") == "1: iPhones and iPads run out of memory with threads"
        classify(page)
        assert visit.loads == 1
        handler.gone.set()
        page = Visit(context).open(url)
        classify(page)
        assert not isolated(page)


def test_browser_without_service_workers_says_so(visitor: BrowserContext, built_site: Path) -> None:
    visitor.add_init_script("delete Navigator.prototype.serviceWorker")
    with serving(built_site) as url:
        visit = Visit(visitor)
        page = visit.open(url)
        classify(page)
        assert "private window" in device(page, "Threads possible") and visit.loads == 1


def test_browser_that_blocks_the_service_worker_says_so(page: Page, site_url: str) -> None:
    page.goto(site_url + CHOICE)  # in the profile of all other tests
    expect(page.locator("#device")).to_contain_text("could not be set up (the browser blocks it)")
    classify(page)


def test_isolating_host_needs_no_reload(visitor: BrowserContext, built_site: Path, handler: type[Handler]) -> None:
    with serving(built_site, isolated=True, handler=handler) as url:
        visit = Visit(visitor)
        page = visit.open(url)
        expect_in_charge(page, "host")
        classify(page)
        assert isolated(page) and visit.loads == 1 and int(device(page, "Threads")) > 1
        handler.gone.set()
        page = Visit(visitor).open(url)
        classify(page)
        assert isolated(page) and int(device(page, "Threads")) > 1


def test_opting_out_takes_the_service_worker_away(visitor: BrowserContext, built_site: Path) -> None:
    with serving(built_site, base_path="/repo/") as url:
        page = Visit(visitor).open(url, loads=2)
        assert shells(page) != []
        visit = Visit(visitor)
        page = visit.open(f"{url}?isolation=off")
        expect(page.locator("#device")).to_contain_text("switched off by isolation=off")
        classify(page)
        assert not isolated(page) and visit.loads == 1 and shells(page) == []
        assert page.evaluate("async () => (await navigator.serviceWorker.getRegistrations()).length") == 0


def test_caches_of_others_stay(visitor: BrowserContext, built_site: Path) -> None:
    others = [
        "holiday pictures",
        "vit-pages:shell:%2F:0",
        "vit-pages:shell:%2Frepo%2Finside%2F:0",
        "vit-pages:weights:1",
    ]
    earlier = "vit-pages:shell:%2Frepo%2F:0"
    with serving(built_site, base_path="/repo/") as url:
        page = visitor.new_page()
        page.goto(f"{url}method.html")
        page.evaluate("async (names) => { for (const name of names) await caches.open(name); }", [*others, earlier])
        page.close()
        page = Visit(visitor).open(url, loads=2)
        names = set(page.evaluate("caches.keys()"))
    assert set(others) <= names and earlier not in names
    assert len([name for name in names if name.startswith("vit-pages:shell:%2Frepo%2F:")]) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "damaged"])
def test_new_version_is_seen_at_once_and_kept_only_when_whole(
    visitor: BrowserContext, built_site: Path, tmp_path: Path, handler: type[Handler], whole: bool
) -> None:
    site = tmp_path / "_site"
    shutil.copytree(built_site, site)
    old = (site / "index.html").read_bytes()
    new = old.replace(b"<title>", b"<title>Second, ")
    with serving(site, base_path="/repo/", handler=handler) as url:
        page = Visit(visitor).open(url, loads=2)
        (kept,) = shells(page)
        page.close()
        republish(site, index=new, listed=None if whole else b"what was published")
        page = Visit(visitor).open(url)
        assert page.title().startswith("Second, ")
        page.evaluate(UPDATED)
        page.close()
        handler.gone.set()
        page = Visit(visitor).open(url)
        expect(page).to_have_title(re.compile("^Second, " if whole else "^(?!Second)"))
        assert len(shells(page)) == 1 and (kept in shells(page)) is not whole


def test_open_page_keeps_the_files_of_its_version(visitor: BrowserContext, built_site: Path, tmp_path: Path) -> None:
    site = tmp_path / "_site"
    shutil.copytree(built_site, site)
    with serving(site, base_path="/repo/") as url:
        page = Visit(visitor).open(url, loads=2)
        republish(site, index=(site / "index.html").read_bytes() + b"\n", removed=".wasm")
        page.evaluate(UPDATED)
        assert page.evaluate("async () => (await navigator.serviceWorker.getRegistration()).waiting !== null")
        assert len(shells(page)) == 2
        classify(page)  # with an engine that the host has no more
