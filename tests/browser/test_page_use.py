"""The classify page in a real browser: every way in, the controls, the figures, what is kept and what is refused."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from export.measuring.browser.chromium import Troubles
from export.measuring.browser.page_client import read_site_data
from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

SAMPLE = Path(__file__).parents[2] / "site/samples/fashion/bag-30.png"
QUICK = "variant=u8-tfjs&backend=wasm"
DROP = """([bytes, type]) => {
  const transfer = new DataTransfer();
  const file = new File([Uint8Array.from(bytes)], 'dropped.png', { type: 'image/png' });
  if (type !== 'text') transfer.items.add(file); else transfer.setData('text/plain', 'a link');
  const kind = type === 'paste' ? ClipboardEvent : DragEvent;
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
  document.body.dispatchEvent(new kind(type === 'paste' ? 'paste' : 'drop', options));
}"""

UPLOADS = """async (address) => {
  const image = (src) => new Promise((onload, onerror) => Object.assign(new Image(), { onload, onerror, src }));
  const tries = [fetch(address, { method: 'POST', body: 'picture' }), image(`${address}samples/fashion/bag-30.png`)];
  return (await Promise.allSettled(tries)).map(({ status }) => status);
}"""


@pytest.fixture
def opened(page: Page, site_url: str) -> Page:
    return open_at(page, site_url)


def open_at(page: Page, url: str, choice: str = QUICK) -> Page:
    page.goto(f"{url}#{choice}")
    expect(state(page)).to_contain_text("Ready")
    return page


def state(page: Page) -> Locator:
    return page.locator("#state")


def ranking(page: Page) -> Locator:
    return page.get_by_role("list", name="most likely").get_by_role("listitem")


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"[data-figure={name}]")


def test_sample_is_classified_and_everything_is_said(opened: Page, built_site: Path) -> None:
    asked: list[Request] = []
    opened.context.on("request", lambda request: asked.append(request))
    opened.get_by_role("button", name="Sample: Bag").click()
    expect(state(opened)).to_contain_text(re.compile(r"Most likely: .+, \d+\.\d\s%"))
    labels = read_site_data(built_site)["models"][0]["labels"]
    shown = ranking(opened).locator(".label").all_inner_texts()
    assert len(set(shown)) == 5 and set(shown) <= set(labels)
    shares = [float(text.split("\u00a0")[0]) for text in ranking(opened).locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.5
    for name in ("download_ms", "decode_ms", "compile_ms", "first_run_ms"):
        expect(figure(opened, name)).to_contain_text("ms")
    expect(opened.locator("#single-run")).to_contain_text("Single run")
    expect(opened.locator("#device")).to_contain_text("not cross-origin isolated")  # why there is one thread
    origin = opened.evaluate("location.origin")
    assert {
        request.url.split("/")[0:3] == origin.split("/")[0:3] or request.url.startswith("blob:") for request in asked
    } == {True}
    assert {request.method for request in asked} == {"GET"}


def test_nothing_of_the_model_is_downloaded_before_it_is_wanted(page: Page, site_url: str) -> None:
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    open_at(page, site_url)
    expect(page.locator("#device")).to_contain_text("Logical cores")
    assert not [url for url in asked if "/models/" in url]
    expect(page.get_by_role("button", name=re.compile(r"Load the model \(.* MB\)"))).to_be_visible()


def test_chosen_dropped_and_pasted_pictures_are_classified(opened: Page) -> None:
    opened.get_by_label("Choose an image").set_input_files(SAMPLE)
    expect(state(opened)).to_contain_text("Most likely")
    expect(ranking(opened)).to_have_count(5)
    first = ranking(opened).all_text_contents()
    for way in ("drop", "paste"):
        opened.get_by_role("button", name="Load again").click()
        expect(opened.get_by_role("img", name="Your image")).to_be_visible()
        opened.evaluate(DROP, [list(SAMPLE.read_bytes()), way])
        name = "dropped.png" if way == "drop" else "Pasted image"
        expect(opened.get_by_role("img", name=f"Your image: {name}")).to_be_visible()
        expect(state(opened)).to_contain_text("Most likely")
        expect(ranking(opened)).to_have_text(first)


def test_what_is_dropped_must_be_a_file(opened: Page) -> None:
    opened.evaluate(DROP, [[], "text"])
    expect(opened.get_by_role("alert")).to_contain_text("Only files")
    expect(opened.get_by_role("button", name="Try again")).to_be_hidden()


def test_newest_of_many_pictures_wins(opened: Page) -> None:
    for name in ("Bag", "Dress", "Sandal", "Ankle boot"):
        opened.get_by_role("button", name=f"Sample: {name}").click()
    expect(state(opened)).to_contain_text("Most likely")
    pressed = opened.locator("[data-sample][aria-pressed=true]")
    expect(pressed).to_have_count(1)
    expect(opened.get_by_role("img", name="Your image: Ankle boot")).to_be_visible()
    expect(opened.get_by_role("alert")).to_be_hidden()
    last = ranking(opened).all_text_contents()
    opened.get_by_role("button", name="Sample: Ankle boot").click()
    expect(state(opened)).to_contain_text("Most likely")
    expect(ranking(opened)).to_have_text(last)


def test_keyboard_alone_is_enough(opened: Page) -> None:
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("link", name="Skip to the content")).to_be_focused()
    opened.keyboard.press("Enter")
    for _ in range(12):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.dataset.title") == "Bag":
            break
    opened.keyboard.press("Enter")
    expect(state(opened)).to_contain_text("Most likely")
    opened.get_by_role("radio", name=re.compile("8-bit")).focus()
    opened.keyboard.press("ArrowDown")
    expect(opened.get_by_role("radio", name=re.compile("Float weights"))).to_be_checked()
    expect(state(opened)).to_contain_text("Float weights")
    assert "variant=f32-tfjs" in opened.url
    expect(opened.get_by_role("button", name="Load and classify")).to_be_visible()  # arrows alone download nothing
    expect(figure(opened, "download_ms")).to_have_text("–")


def test_link_restores_the_choice(page: Page, site_url: str) -> None:
    open_at(page, site_url, "model=fashion&variant=f32-tfjs&backend=cpu")
    expect(page.get_by_role("radio", name=re.compile("Float weights"))).to_be_checked()
    expect(page.get_by_role("radio", name="JavaScript (CPU)")).to_be_checked()
    page.evaluate("location.hash = 'variant=u8-tfjs'")
    expect(page.get_by_role("radio", name=re.compile("8-bit"))).to_be_checked()
    expect(page.get_by_role("radio", name="WebAssembly (CPU)")).to_be_checked()


@pytest.mark.parametrize(
    ("choice", "asked", "known"),
    [
        ("model=nope", "model “nope”", "fashion"),
        ("variant=w3", "variant “w3”", "u8-tfjs"),
        ("backend=gpu", "backend “gpu”", "wasm"),
    ],
)
def test_link_to_what_is_not_here_says_what_is(page: Page, site_url: str, choice: str, asked: str, known: str) -> None:
    open_at(page, site_url, choice)
    expect(page.get_by_role("alert")).to_contain_text(asked)
    expect(page.get_by_role("alert")).to_contain_text(known)


def test_back_end_that_is_not_available_says_why(opened: Page) -> None:
    radio = opened.get_by_role("radio", name="WebGPU")
    expect(radio).to_be_disabled()
    expect(radio).to_have_accessible_description(re.compile("Not available: .{5}"))


def test_measuring_shows_median_and_spread_and_gives_json(opened: Page, built_site: Path) -> None:
    opened.get_by_role("button", name="Measure", exact=True).click()
    expect(state(opened)).to_contain_text(re.compile(r"Measured: a median of .* over 50 runs"))
    low, middle, high = (
        float(figure(opened, name).inner_text().split("\u00a0")[0]) for name in ("p10_ms", "median_ms", "p90_ms")
    )
    assert 0 < low <= middle <= high
    expect(opened.locator("#warm-note")).to_contain_text("warm-up")
    with opened.expect_download() as downloading:
        opened.get_by_role("button", name="Download JSON").click()
    values: dict[str, Any] = json.loads(downloading.value.path().read_text())
    (variant, *_) = read_site_data(built_site)["models"][0]["variants"]
    assert downloading.value.suggested_filename == "fashion-u8-tfjs.json"
    assert values["variant"]["sha256"] == variant["sha256"] and values["variant"]["storage_dtype"] == "uint8"
    assert (values["warm"]["n"], values["backend"], values["threads"]) == (50, "wasm", 1)
    assert values["threads_reason"] and values["device"]["logical_cores"] >= 1
    assert all(value > 0 for value in values["cold"].values())


def test_copied_json_is_what_is_downloaded(opened: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.get_by_role("button", name="Copy as JSON").click()
    expect(opened.get_by_text("Copied.")).to_be_visible()
    values = json.loads(opened.evaluate("navigator.clipboard.readText()"))
    assert values["model"] == "fashion" and values["warm"] is None and values["cold"] is None


def test_measuring_can_be_stopped(opened: Page) -> None:
    opened.get_by_label("JavaScript (CPU)").check()  # slow enough to be stopped
    opened.get_by_role("button", name="Measure", exact=True).click()
    expect(opened.locator("#warm-note")).to_contain_text("Measuring")
    opened.get_by_role("button", name="Stop").click()
    expect(state(opened)).to_contain_text("Cancelled")
    expect(opened.get_by_role("button", name="Measure", exact=True)).to_be_visible()
    expect(figure(opened, "median_ms")).to_have_text("–")


def test_model_can_be_removed_from_the_device(opened: Page) -> None:
    opened.get_by_role("button", name=re.compile("^Load the model")).click()
    expect(opened.locator("#load-note")).to_contain_text("kept on this device")
    assert opened.evaluate("caches.keys()")
    opened.get_by_role("button", name="Remove the model").click()
    expect(opened.locator("#load-note")).to_contain_text("removed from this device")
    assert opened.evaluate("caches.keys()") == []


def test_upload_is_impossible(opened: Page, built_site: Path, troubles: Troubles) -> None:
    troubles.expect("Content Security Policy")
    with serving(built_site) as elsewhere:
        outcome = opened.evaluate(UPLOADS, elsewhere)
    assert outcome == ["rejected", "rejected"]
    assert any("connect-src" in message for message in troubles.all)


def rewritten(site: Path, folder: Path, **changes: Any) -> Path:
    """Return a copy of a site whose first model is described otherwise."""
    copy = folder / "_site"
    shutil.copytree(site, copy)
    index = copy / "index.html"
    html = index.read_text()
    start = html.index(">", html.index('id="site-data"')) + 1
    values = json.loads(html[start : html.index("</script>", start)])
    values["models"][0].update(changes)
    text = json.dumps(values).replace("<", "\\u003c")
    index.write_text(html[:start] + text + html[html.index("</script>", start) :])
    return copy


@pytest.fixture
def hostile_url(built_site: Path, tmp_path: Path) -> Iterator[str]:
    labels = ["<img src=x onerror=\"document.title='owned'\">"] * 10
    with serving(rewritten(built_site, tmp_path, labels=labels)) as url:
        yield url


def test_label_is_text_and_never_markup(page: Page, hostile_url: str) -> None:
    open_at(page, hostile_url)
    page.get_by_role("button", name="Sample: Bag").click()
    expect(ranking(page).first).to_contain_text("<img src=x")
    assert page.locator("#answer img").count() == 0
    assert "owned" not in page.title()


@pytest.fixture
def features_url(built_site: Path, tmp_path: Path) -> Iterator[str]:
    with serving(rewritten(built_site, tmp_path, labels=[], features=True)) as url:
        yield url


def test_model_without_classes_compares_two_pictures(page: Page, features_url: str) -> None:
    open_at(page, features_url)
    page.get_by_role("button", name="Sample: Bag").click()
    expect(page.locator("#embedding")).to_contain_text("no classes")
    expect(page.locator("#embedding")).to_contain_text("second image")
    expect(page.locator("#ranking")).to_be_hidden()
    page.get_by_role("button", name="Sample: Dress").click()
    expect(page.locator("#embedding")).to_contain_text(re.compile(r"previous image, “Bag”: -?0\.\d{4}"))
    page.get_by_role("button", name="Sample: Dress").click()
    expect(page.locator("#embedding")).to_contain_text(re.compile(r"previous image, “Dress”: 1\.0000"))


def test_several_labels_do_not_exclude_each_other(page: Page, built_site: Path, tmp_path: Path) -> None:
    shares = {}
    for kind in ("softmax", "sigmoid"):
        with serving(rewritten(built_site, tmp_path / kind, probabilities=kind)) as url:
            open_at(page, url)
            page.get_by_role("button", name="Sample: Bag").click()
            expect(ranking(page).first).to_contain_text("Bag")
            shares[kind] = [float(text.split()[0]) for text in page.locator("#ranking .share").all_inner_texts()]
    assert abs(sum(shares["softmax"]) - 100) < 5 < abs(sum(shares["sigmoid"]) - sum(shares["softmax"]))


def test_without_javascript_the_page_says_so(page: Page, site_url: str) -> None:
    browser = page.context.browser
    assert browser
    with browser.new_context(java_script_enabled=False) as context:
        bare = context.new_page()
        bare.goto(site_url)
        expect(bare.locator("#state")).to_contain_text("JavaScript is switched off")
        for link in ("Results", "Method"):
            bare.get_by_role("navigation").get_by_role("link", name=link).click()
            expect(bare.get_by_role("heading", level=1)).to_be_visible()
