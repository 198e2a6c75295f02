"""The page in an iframe of another origin, and the lines that it offers for other people's pages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import EMPTY, SAMPLES, at, example, violations
from playwright.sync_api import BrowserContext, Frame, FrameLocator, Page, expect

from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

BAG = SAMPLES / "bag-30.png"
CHROME = ("banner", "contentinfo", "navigation")  # the roles of header, footer and links


def embedded(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def inside(page: Page, site: str) -> Frame:
    return next(frame for frame in page.frames if frame.url.startswith(site))


def around(site: str, query: str = "?embed") -> str:
    """Return a page around the classifier that notes the sizes that it is told."""
    script = """<script>
      globalThis.sizes = [];
      addEventListener('message', ({ data, origin }) => sizes.push({ ...data, origin }));
    </script>"""
    frame = f'<iframe src="{site}index.html{query}" title="Classifier" width="420" height="200"></iframe>'
    return EMPTY.replace("<body></body>", f"<body>{script}<main><h1>A page</h1>{frame}</main></body>")


def test_the_page_in_an_iframe_is_the_classifier_alone_and_tells_its_size(
    page: Page, site: str, host: Callable[..., str]
) -> None:
    page.goto(host(around(site)))
    frame = embedded(page)
    expect(frame.get_by_role("button", name="Choose an image")).to_be_visible()
    for role in CHROME:
        expect(frame.get_by_role(role)).to_have_count(0)  # type: ignore[arg-type]
    expect(frame.get_by_text("Measured on this device")).to_be_hidden()
    frame.locator("input[type=file]").set_input_files(BAG)
    expect(frame.get_by_role("status")).to_contain_text("Most likely: Bag")
    page.wait_for_function("sizes.length > 1 && sizes.at(-1).height > sizes[0].height")
    told = page.evaluate("sizes")
    assert {(one["type"], one["origin"] + "/") for one in told} == {("vit-pages:size", site)}
    inner = inside(page, site)
    assert inner.evaluate("document.documentElement.getBoundingClientRect().height") <= told[-1]["height"]
    assert violations(page, inside(page, site)) == []


def test_the_iframe_of_the_docs_fits_what_it_shows(page: Page, site: str, host: Callable[..., str]) -> None:
    page.goto(host(at(site, example("library.md", "<iframe")), files={"favicon.ico": b""}))
    embedded(page).locator("input[type=file]").set_input_files(BAG)
    expect(embedded(page).get_by_role("status")).to_contain_text("Most likely: Bag")
    inner = inside(page, site)
    inner.wait_for_function("innerHeight >= document.documentElement.scrollHeight")


def test_a_link_into_the_iframe_chooses_model_and_variant(page: Page, site: str, host: Callable[..., str]) -> None:
    page.goto(host(around(site, "?embed#model=fashion&variant=w4_dynamic-vit")))
    with page.expect_request(lambda request: request.url.endswith("model.vit")) as asked:
        embedded(page).locator("input[type=file]").set_input_files(BAG)
    assert "/w4_dynamic-vit-" in asked.value.url
    expect(embedded(page).get_by_role("status")).to_contain_text("Most likely: Bag")


def test_what_the_library_does_not_run_is_embedded_as_the_pages_own_classifier(
    page: Page, built_site: Path, host: Callable[..., str]
) -> None:
    """So is a link to what is not there: the page says so."""
    with serving(built_site) as url:
        page.goto(host(around(url, "?embed#variant=u8-tfjs&backend=wasm")))
        frame = embedded(page)
        expect(frame.locator("#state")).to_contain_text("Ready")
        for role in CHROME:
            expect(frame.get_by_role(role)).to_have_count(0)  # type: ignore[arg-type]
        expect(frame.get_by_role("button", name="Measure")).to_be_hidden()
        frame.get_by_role("button", name="Sample: Bag").click()
        expect(frame.locator("#state")).to_contain_text("Most likely: Bag")
        assert violations(page, inside(page, url)) == []
        page.goto(host(around(url, "?embed#model=absent")))
        expect(frame.get_by_role("alert")).to_contain_text("absent")


def test_the_lines_that_the_page_offers_work_in_another_page(
    page: Page, context: BrowserContext, site: str, host: Callable[..., str]
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(site + "index.html#variant=w4_dynamic-vit")
    element, iframe = page.locator("[data-snippet]").all_inner_texts()
    assert element.count(site) == 2 and iframe.count(site) == 1
    page.get_by_role("button", name="Copy", exact=True).first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == element
    page.goto(host(EMPTY.replace("<body>", f"<body>{element}{iframe}")))
    page.locator("vit-classifier input[type=file]").first.set_input_files(BAG)
    expect(page.get_by_role("status")).to_contain_text("Most likely: Bag")
    embedded(page).locator("input[type=file]").set_input_files(BAG)
    expect(embedded(page).get_by_role("status")).to_contain_text("Most likely: Bag")


def test_the_element_is_there_in_an_isolated_page_too(page: Page, library_site: Path, host: Callable[..., str]) -> None:
    """An iframe is not: an isolated page takes none from hosts without headers; the docs say so."""
    with serving(library_site) as url:
        element = f'<vit-classifier src="{url}models/fashion/manifest.json"></vit-classifier>'
        script = f'<script type="module" crossorigin src="{url}lib/vit-classifier.js"></script>'
        page.goto(host(EMPTY.replace("<body>", f"<body>{element}{script}"), isolated=True))
        assert page.evaluate("crossOriginIsolated")
        page.locator("vit-classifier input[type=file]").set_input_files(BAG)
        expect(page.get_by_role("status")).to_contain_text("Most likely: Bag")
