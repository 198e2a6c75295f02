"""The pages for everyone: axe finds nothing, nothing jumps, everything fits a phone and can be hit with a thumb."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect
from rendering import make_site, make_spec, store_model

from export.measuring.browser.server import serving
from export.page.assets.bundle import make_bundle
from export.page.content.kept_accuracy import kept_for
from export.pipeline.store import Store

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "site/node_modules/axe-core/axe.min.js"
PAGES = ("index.html", "results.html", "method.html", "404.html")
VIOLATIONS = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}"""


def violations(page: Page) -> list[str]:
    """Run axe in both colour schemes, beside the page's own scripts; the page's policy stays in force."""
    page.evaluate(AXE.read_text())
    found: list[str] = []
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        found += page.evaluate(VIOLATIONS)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(page: Page, site_url: str, name: str) -> None:
    page.goto(site_url + name)
    for details in page.locator("details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert violations(page) == []


def test_axe_finds_nothing_in_answers_and_problems(page: Page, site_url: str) -> None:
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    page.get_by_role("button", name="Sample: Bag").click()
    expect(page.locator("#state")).to_contain_text("Most likely")
    assert violations(page) == []
    page.get_by_label("Choose an image").set_input_files({"name": "empty.png", "mimeType": "image/png", "buffer": b""})
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(page: Page, site_url: str, name: str) -> None:
    page.goto(site_url + name)
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, select, summary, .button, .option, nav a, .brand')]
              .filter((element) => element.checkVisibility())
              .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
              .filter(([, { width, height }]) => width < 44 || height < 44)
              .map(([text, { width, height }]) => `${text}: ${width}×${height}`)"""
        )
        assert small == []


def test_nothing_jumps(page: Page, site_url: str) -> None:
    page.add_init_script(
        """globalThis.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) globalThis.shift += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });"""
    )
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    expect(page.locator("#device")).to_contain_text("Logical cores")
    page.get_by_role("button", name="Sample: Bag").click()
    expect(page.locator("#state")).to_contain_text("Most likely")
    assert page.evaluate("globalThis.shift") < 0.05


def test_motion_is_reduced_on_request(page: Page, site_url: str) -> None:
    durations = "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
    page.goto(site_url)
    assert set(page.evaluate(durations)) != {"0s"}
    page.emulate_media(reduced_motion="reduce")
    assert set(page.evaluate(durations)) == {"0s"}


def test_lost_visitor_gets_the_sites_own_404_at_any_depth(chromium: Browser, built_site: Path) -> None:
    with serving(built_site, base_path="/repo/") as url, chromium.new_page() as page:
        answer = page.goto(f"{url}some/where/deep")
        assert answer and answer.status == 404
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


def test_a_long_command_fits_a_phone(page: Page, tmp_path: Path) -> None:
    """That by which the kept accuracies of an embedded model were measured."""
    kept, store = kept_for("photos"), Store(tmp_path / "artifacts")
    assert kept is not None
    store_model(store, replace(make_spec("photos"), weights_sha256=kept.weights_sha256))
    make_site(store, make_bundle(), tmp_path / "_site", models=("photos",))
    with serving(tmp_path / "_site") as url:
        page.goto(f"{url}results.html")
        expect(page.get_by_text(kept.command)).to_be_visible()
        page.set_viewport_size({"width": 320, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
