"""Browsers that alter what pages read from a canvas, against fingerprinting: they are told so, and get no answer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

# What each browser does to the pixels of a canvas in a worker; `data` are the true ones.
ALTERED = {
    "random bytes": "crypto.getRandomValues(data.subarray(0, 65536))",
    "all white": "data.fill(255)",
    "transparent black": "data.fill(0)",
    "low bits of some pixels": "for (let at = 0; at < data.length; at += 4 * 97) data[at] ^= 1",
    "one channel, sparsely": "for (let at = 2; at < data.length; at += 4 * 4001) data[at] ^= 1",
    "only alpha": "for (let at = 3; at < data.length; at += 4) data[at] = 254",
    "one row": "data.fill(7, 4 * image.width * 40, 4 * image.width * 41)",
}
AFTER_THE_FIRST = "if ((globalThis.reads = (globalThis.reads ?? 0) + 1) > 1) {{ {} }}"
LATER = {
    f"later: {how}": AFTER_THE_FIRST.format(ALTERED[how])
    for how in ("random bytes", "transparent black", "low bits of some pixels", "only alpha")
}
PATCH = """
const readBack = OffscreenCanvasRenderingContext2D.prototype.getImageData;
OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...place) {
  const image = readBack.apply(this, place);
  const { data } = image;
  if (!globalThis.allowed) { %s; }
  return image;
};
const channel = new BroadcastChannel('allow');
channel.onmessage = () => {
  globalThis.allowed = true;
  channel.postMessage('');
};
"""
# What the page asks about the device is answered when the test says so.
SLOW_DEVICE = """
const asked = new Promise((answer) => { new BroadcastChannel('device').onmessage = answer; });
NavigatorUAData.prototype.getHighEntropyValues = () => asked.then(() => ({}));
"""
SLOW = {"random bytes on a slow device": ALTERED["random bytes"]}
# Ends once the worker has heard it: messages of different channels keep no order.
ALLOW = """new Promise((heard) => {
  const channel = new BroadcastChannel('allow');
  channel.onmessage = heard;
  channel.postMessage('');
}).then(() => {})"""


@pytest.fixture
def altering(page: Page, site_url: str, request: pytest.FixtureRequest) -> Page:
    """The opened page in a browser that alters pictures as the parameter says."""

    def answer(route: Route) -> None:
        script = route.fetch()
        patch = PATCH % (ALTERED | LATER | SLOW)[request.param] + (SLOW_DEVICE if request.param in SLOW else "")
        route.fulfill(response=script, body=patch + script.text())

    page.context.route(re.compile(r"/assets/worker\..*\.js$"), answer)
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    return page


@pytest.mark.parametrize("altering", ALTERED, indirect=True)
def test_browser_that_alters_pictures_is_told_and_gets_no_answer(altering: Page) -> None:
    alert = altering.get_by_role("alert")
    expect(alert).to_contain_text("alters pictures")  # before a picture is chosen
    asked: list[str] = []
    altering.context.on("request", lambda request: asked.append(request.url))
    for name in ("Sample: Bag", "Measure"):
        altering.get_by_role("button", name=name, exact=True).click()
        expect(altering.locator("#state")).to_contain_text("went wrong")
        expect(alert).to_contain_text("alters pictures")
        expect(alert).to_contain_text(re.compile("fingerprinting.*another browser"))
        expect(altering.locator("#ranking .share")).to_have_text([""] * 5)
        expect(altering.locator("[data-figure=median_ms]")).to_have_text("–")
    assert not [url for url in asked if "/models/" in url]  # no model is downloaded in vain


@pytest.mark.parametrize("altering", ["random bytes"], indirect=True)
def test_once_it_is_allowed_the_same_picture_is_classified(altering: Page) -> None:
    altering.get_by_role("button", name="Sample: Bag").click()
    expect(altering.locator("#state")).to_contain_text("went wrong")
    altering.evaluate(ALLOW)
    altering.get_by_role("button", name="Try again").click()
    expect(altering.locator("#state")).to_contain_text("Most likely: Bag")


@pytest.mark.parametrize("altering", SLOW, indirect=True)
def test_the_picture_is_tried_again_too_where_the_page_finds_out_after_it(altering: Page) -> None:
    altering.get_by_role("button", name="Sample: Bag").click()
    expect(altering.locator("#state")).to_contain_text("went wrong")
    altering.evaluate("() => { globalThis.before = document.querySelector('#retry').onclick; }")
    altering.evaluate("new BroadcastChannel('device').postMessage('')")
    while altering.evaluate("globalThis.before === document.querySelector('#retry').onclick"):
        altering.wait_for_timeout(50)
    altering.evaluate(ALLOW)
    altering.get_by_role("button", name="Try again").click()
    expect(altering.locator("#state")).to_contain_text("Most likely: Bag")


@pytest.mark.parametrize("altering", LATER, indirect=True)
def test_browser_that_begins_to_alter_pictures_later_gets_no_answer(altering: Page) -> None:
    altering.get_by_role("button", name="Sample: Bag").click()
    expect(altering.locator("#state")).to_contain_text("went wrong")
    expect(altering.get_by_role("alert")).to_contain_text(re.compile("alters pictures.*beside the picture"))
    expect(altering.locator("#ranking .share")).to_have_text([""] * 5)


WRAPPED = """
CanvasRenderingContext2D.prototype.getImageData = OffscreenCanvasRenderingContext2D.prototype.getImageData = () => null;
"""


@pytest.fixture
def page_patched(page: Page, built_site: Path) -> Iterator[Page]:
    """A page in which an extension has replaced canvas functions, which reaches no worker."""
    page.add_init_script(WRAPPED)
    with serving(built_site) as url:
        page.goto(f"{url}#variant=u8-tfjs&backend=wasm")
        yield page


def test_what_alters_the_page_alone_does_not_matter(page_patched: Page) -> None:
    page_patched.get_by_role("button", name="Sample: Bag").click()
    expect(page_patched.locator("#state")).to_contain_text("Most likely: Bag")
    expect(page_patched.get_by_role("alert")).to_be_hidden()
