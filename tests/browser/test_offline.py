"""Visits without a network, and new versions of a site: what is kept, what is not, and that no page loses its files."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect
from visits import SHELLS, UPDATED, Handler, Release, Visit, classify, device, isolated, shells

from export.measuring.browser.server import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread, so nothing is reloaded for more"),
]


@pytest.mark.faults("network")
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


@pytest.mark.faults("network")
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
@pytest.mark.faults("network")
def test_new_version_is_seen_at_once_and_kept_only_when_whole(
    visitor: BrowserContext, release: Release, handler: type[Handler], whole: bool
) -> None:
    (worker,) = release.find(r"assets/worker\.")
    newer = worker.replace("worker.", "worker.2")
    index = (release.site / "index.html").read_bytes()
    index = index.replace(b"<title>", b"<title>Second, ").replace(worker.encode(), newer.encode())
    with serving(release.site, base_path="/repo/", handler=handler) as url:
        page = Visit(visitor).open(url, loads=2)
        (kept,) = shells(page)
        page.close()
        release.put("index.html", index, None if whole else b"what was published")
        release.put(newer, (release.site / worker).read_bytes())
        release.remove(worker)
        release.publish()
        page = Visit(visitor).open(url)
        assert page.title().startswith("Second, ")
        classify(page)  # by scripts that the service worker in charge does not know
        assert int(device(page, "Threads")) > 1
        page.evaluate(UPDATED)
        page.close()
        handler.gone.set()
        page = Visit(visitor).open(url)
        expect(page).to_have_title(re.compile("^Second, " if whole else "^(?!Second)"))
        classify(page)
        assert len(shells(page)) == 1 and (kept in shells(page)) is not whole


@pytest.mark.faults("network")
def test_open_page_keeps_the_files_of_its_version(visitor: BrowserContext, release: Release) -> None:
    with serving(release.site, base_path="/repo/") as url:
        page = Visit(visitor).open(url, loads=2)
        release.put("index.html", (release.site / "index.html").read_bytes() + b"\n")
        for path in release.find("wasm$"):
            release.remove(path)
        release.publish()
        page.evaluate(UPDATED)
        assert page.evaluate("async () => (await navigator.serviceWorker.getRegistration()).waiting !== null")
        assert len(shells(page)) == 2
        classify(page)  # with an engine that the host has no more


def test_engine_is_kept_once_it_is_used_and_stays_with_the_next_version(
    visitor: BrowserContext, release: Release, handler: type[Handler]
) -> None:
    for path in release.find("wasm$"):
        release.shell["later"][path] = release.shell["files"].pop(path)
    release.publish()
    with serving(release.site, base_path="/repo/", handler=handler) as url:
        page = Visit(visitor).open(url, loads=2)
        kept = (
            "async () => (await (await caches.open((SHELLS)[0])).keys()).filter(({ url }) => /wasm$/.test(url)).length"
        )
        count = kept.replace("SHELLS", f"await (async () => {SHELLS})()")
        assert page.evaluate(count) == 0
        classify(page)
        expect(page.locator("#load-note")).to_contain_text("Downloaded")
        assert page.evaluate(count) == 1
        release.put("index.html", (release.site / "index.html").read_bytes() + b"\n")
        release.publish()
        page.evaluate(UPDATED)
        page.close()
        handler.gone.set()
        page = Visit(visitor).open(url)
        classify(page)
        assert len(shells(page)) == 1 and page.evaluate(count) == 1
