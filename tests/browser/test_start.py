"""A page that cannot start says why: opened from disk, of an earlier version; and so does one that is updated."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from export.measuring.browser.chromium import Troubles
from export.measuring.browser.server import PagesHandler, serving

pytestmark = pytest.mark.browser


@pytest.fixture
def site(built_site: Path, tmp_path: Path) -> Path:
    """A copy of the built page, to be changed."""
    return shutil.copytree(built_site, tmp_path / "_site")


class FallbackHandler(PagesHandler):
    """Answers with the front page, as some hosts do, whatever is not there."""

    def not_found(self) -> None:
        self.answer_file(self.server.hosting.folder / "index.html")


@pytest.fixture(params=[PagesHandler, FallbackHandler], ids=["404", "front page instead"])
def url(site: Path, troubles: Troubles, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the copy, on hosts that differ in what they send for a missing file."""
    troubles.expect("404")
    troubles.expect("MIME type")
    with serving(site, handler=request.param) as address:
        yield address


def published_anew(site: Path, gone: str) -> None:
    """Change the site as a deployment does: names that follow content are others, and the old ones are gone.

    `gone` is a file that the open page has yet to load: of the model, or of the engine.
    """
    index = site / "index.html"
    text = index.read_text()
    (script,) = (site / "assets").glob("main.*.js")
    for path in (script, *(path for path in site.glob("models/*/*") if path.is_dir())):
        changed = path.with_name(path.name.replace(".", ".0", 1) if path.is_file() else f"{path.name}0")
        text = text.replace(path.name, changed.name)
        path.rename(changed)
    index.write_text(text)
    for path in site.glob(gone):
        path.unlink()


def refresh(page: Page) -> None:
    """Press the button that reloads, and wait for the page that comes."""
    with page.expect_navigation():
        page.get_by_role("button", name="Reload the page").click()


def test_page_opened_from_disk_says_how_to_serve_it(page: Page, troubles: Troubles, site: Path) -> None:
    troubles.expect("CORS|ERR_|origin")
    page.goto(f"{(site / 'index.html').as_uri()}")
    expect(page.locator("#state")).to_contain_text("cannot start")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Opened from disk, this page cannot run")
    expect(alert).to_contain_text("python -m export.serve")
    expect(page.locator("main")).not_to_contain_text("JavaScript is switched off")
    expect(page.get_by_role("button", name="Reload the page")).to_be_hidden()


def test_page_whose_scripts_are_gone_says_reload(page: Page, site: Path, url: str) -> None:
    index = (site / "index.html").read_text()
    (site / "index.html").write_text(re.sub(r"assets/main\.\w+\.js", "assets/main.GONE.js", index))
    page.goto(url)
    expect(page.get_by_role("alert")).to_contain_text("earlier version of the page")
    expect(page.locator("main")).not_to_contain_text("JavaScript is switched off")
    (site / "index.html").write_text(index)
    refresh(page)
    expect(page.locator("#state")).to_contain_text("Ready")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_script_that_a_lost_connection_takes_is_another_matter(page: Page, troubles: Troubles, site_url: str) -> None:
    troubles.expect("ERR_")
    page.route(re.compile(r"/assets/main\..*\.js$"), lambda route: route.abort())
    page.goto(site_url)
    expect(page.get_by_role("alert")).to_contain_text(re.compile("could not be loaded.*connection", re.S))
    page.unroute_all()
    refresh(page)
    expect(page.locator("#state")).to_contain_text("Ready")


def test_host_that_refuses_a_script_for_now_is_no_earlier_version(
    page: Page, troubles: Troubles, site_url: str
) -> None:
    troubles.expect("429")
    page.route(re.compile(r"/assets/main\..*\.js$"), lambda route: route.fulfill(status=429))
    page.goto(site_url)
    expect(page.get_by_role("alert")).to_contain_text("status 429 for a script of this page")
    expect(page.get_by_role("button", name="Reload the page")).to_be_visible()


def test_engine_that_is_gone_may_be_an_update(page: Page, troubles: Troubles, site_url: str) -> None:
    troubles.expect("404")
    page.context.route(re.compile(r"/assets/.*\.wasm$"), lambda route: route.fulfill(status=404))
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    load(page)
    expect(page.get_by_role("alert")).to_contain_text(re.compile("404.*Reload the page: the site may just", re.S))
    expect(page.get_by_role("button", name="Reload the page")).to_be_visible()


def test_script_that_fails_says_so(page: Page, troubles: Troubles, site_url: str) -> None:
    troubles.expect("uncaught")
    broken = "class Page { #a = ; }"
    page.route(
        re.compile(r"/assets/main\..*\.js$"), lambda route: route.fulfill(body=broken, content_type="text/javascript")
    )
    page.goto(site_url)
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile("script failed: .*SyntaxError.*update the browser", re.S)
    )


def click_sample(page: Page) -> None:
    page.get_by_role("button", name="Sample: Bag").click()


def load(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Load the model")).click()


@pytest.mark.parametrize(
    ("gone", "act"),
    [("samples/*/none", click_sample), ("assets/tfjs.*.js", load), ("samples/fashion/*", click_sample)],
    ids=["model", "engine", "sample"],
)
def test_update_while_the_page_is_open_says_reload(
    page: Page, site: Path, url: str, gone: str, act: Callable[[Page], None]
) -> None:
    page.goto(f"{url}#variant=u8-tfjs&backend=wasm")
    expect(page.locator("#device")).to_contain_text("Logical cores")
    published_anew(site, gone)
    act(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The site was updated while this page was open")
    expect(alert).to_contain_text("Reload the page")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    refresh(page)
    expect(page.locator("#state")).to_contain_text("Ready")
    expect(alert).to_be_hidden()


def test_file_that_is_merely_missing_is_no_update(page: Page, site: Path, url: str) -> None:
    page.goto(f"{url}#variant=u8-tfjs&backend=wasm")
    expect(page.locator("#device")).to_contain_text("Logical cores")
    for path in (site / "models").rglob("*.bin"):
        path.unlink()
    load(page)
    expect(page.get_by_role("alert")).to_contain_text(re.compile("404|web page instead|should have"))
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.get_by_role("alert")).not_to_contain_text("was updated")
