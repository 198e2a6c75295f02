"""The service worker on a host without headers: threads after one visible reload, and never at a visitor's expense."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from visits import CHOICE, Handler, Visit, classify, device, expect_in_charge, isolated, shells

from export.measuring.browser.server import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread, so nothing is reloaded for more"),
]

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1"
HEARD = """addEventListener('DOMContentLoaded', () => {
  const state = document.getElementById('state');
  const listen = () => { sessionStorage.heard = `${sessionStorage.heard ?? ''}${state.textContent}|`; };
  new MutationObserver(listen).observe(state, { childList: true, subtree: true });
});"""


@pytest.mark.parametrize("base_path", ["/", "/repo/"])
def test_threads_after_one_reload_and_at_once_on_the_next_visit(
    visitor: BrowserContext, built_site: Path, base_path: str
) -> None:
    visitor.add_init_script(HEARD)
    with serving(built_site, base_path=base_path) as url:
        first = Visit(visitor)
        page = first.open(url, loads=2)
        expect(page.locator("#state")).to_contain_text("reloaded once")
        assert page.evaluate("sessionStorage.heard").count("Reloading once to enable threads") == 1
        assert isolated(page) and int(device(page, "Threads available")) > 1
        classify(page)
        assert int(device(page, "Threads")) > 1
        assert page.url == url + CHOICE
        second = Visit(visitor)
        page = second.open(url)
        classify(page)
        assert isolated(page) and (first.loads, second.loads) == (2, 1)
        expect(page.locator("#state")).not_to_contain_text("reloaded")


def test_picture_being_classified_is_not_lost_to_the_reload(
    visitor: BrowserContext, built_site: Path, handler: type[Handler]
) -> None:
    handler.held.add("sw.js")
    with serving(built_site, handler=handler) as url:
        visit = Visit(visitor)
        page = visit.open(url)
        classify(page)
        handler.released.set()
        expect(page.locator("#device")).to_contain_text("on the next visit")
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
        assert device(page, "Threads available") == "1: iPhones and iPads run out of memory with threads"
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
        assert "private browsing" in device(page, "Threads available") and visit.loads == 1


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
