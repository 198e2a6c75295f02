"""`<vit-classifier>` in a page of another origin: every way in, what it shows and tells, and the camera."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hosts import EMPTY, SAMPLES, at, example, violations
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect

from export.measuring.browser.chromium import Troubles, launch

pytestmark = pytest.mark.browser

BAG = SAMPLES / "bag-30.png"
CAMERA = ("--use-fake-device-for-media-stream",)
# A page's own style: large enough for axe to see what lies where, in the colour scheme of the visitor.
HEAD = "<style>:root { color-scheme: light dark } h1 { font-size: 1rem }</style>"


def page_with(site: str, attributes: str = "", inside: str = "", count: int = 1) -> str:
    """Return a page with the element, or several."""
    element = f'<vit-classifier src="{site}models/fashion/manifest.json" {attributes}>{inside}</vit-classifier>'
    script = f'<script type="module" src="{site}lib/vit-classifier.js"></script>'
    body = f"<body>{HEAD}<main><h1>Guess</h1>{element * count}</main>{script}</body>"
    record = """<script>
      globalThis.told = [];
      for (const type of ['classified', 'error', 'ready'])
        document.addEventListener(type, ({ target, detail }) => target.localName === 'vit-classifier'
          && told.push([type, detail?.code ?? detail?.top?.length ?? '']), true);
    </script>"""
    return EMPTY.replace("<body></body>", record + body)


def status(page: Page) -> Locator:
    return page.get_by_role("status")


def choose(page: Page, path: Path = BAG) -> None:
    page.locator("vit-classifier input[type=file]").set_input_files(path)


def test_the_element_of_the_docs_answers_on_another_origin(
    page: Page, site: str, host: Callable[..., str], troubles: Troubles
) -> None:
    troubles.expect("favicon")
    page.goto(host(at(site, example("library.md", "<vit-classifier"))))
    choose(page)
    expect(status(page)).to_have_text(re.compile(r"^Most likely: Bag, \d+\.\d%\.$"))
    expect(page.get_by_role("list", name="Most likely classes").get_by_role("listitem")).to_have_count(5)


def test_it_shows_what_goes_on_tells_the_page_and_axe_finds_nothing(
    page: Page, site: str, host: Callable[..., str]
) -> None:
    page.goto(host(page_with(site, 'top="3" preload')))
    expect(status(page)).to_have_text("Ready.")
    assert violations(page, page.main_frame) == []
    choose(page)
    expect(status(page)).to_contain_text("Most likely: Bag")
    rows = page.get_by_role("listitem")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_text(re.compile(r"^Bag\d+\.\d%$"))
    expect(page.get_by_alt_text("Your image")).to_be_visible()
    assert violations(page, page.main_frame) == []
    page.locator("vit-classifier input[type=file]").set_input_files(
        {"name": "empty.png", "mimeType": "image/png", "buffer": b""}
    )
    expect(page.get_by_role("alert")).to_contain_text("The file is empty")
    expect(rows).to_have_count(0)
    assert violations(page, page.main_frame) == []
    choose(page)
    expect(rows).to_have_count(3)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert page.evaluate("told") == [["ready", ""], ["classified", 3], ["error", "empty_file"], ["classified", 3]]


DROP = """([selector, images, kind]) => {
  const transfer = new DataTransfer();
  for (const image of images) {
    const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], 'bag.png', { type: 'image/png' }));
  }
  if (images.length === 0) transfer.items.add('https://example.org/', 'text/uri-list');
  const target = document.querySelector(selector);
  const options = { bubbles: true, cancelable: true, composed: true };
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { ...options, clipboardData: transfer })
    : new DragEvent(kind, { ...options, dataTransfer: transfer });
  target.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def give(page: Page, kind: str, count: int = 1, selector: str = "vit-classifier") -> bool:
    """Drop or paste so many images; return whether that was taken."""
    return bool(page.evaluate(DROP, [selector, [base64.b64encode(BAG.read_bytes()).decode()] * count, kind]))


def test_images_are_dropped_and_pasted_and_what_is_none_is_told(
    page: Page, site: str, host: Callable[..., str]
) -> None:
    page.goto(host(page_with(site).replace("<h1>", '<input id="typed" aria-label="Name"><h1>')))
    told = page.get_by_role("alert")
    assert give(page, "dragover") and give(page, "drop", count=3)
    expect(status(page)).to_contain_text("Most likely: Bag")
    expect(page.get_by_text("3 files were given: only the first one is classified.")).to_be_visible()
    assert give(page, "drop", count=0)
    expect(told).to_contain_text("Only files can be dropped here.")
    assert give(page, "paste", selector="body")
    expect(status(page)).to_contain_text("Most likely: Bag")
    expect(told).to_be_hidden()
    give(page, "paste", count=0)
    expect(told).to_contain_text("The clipboard contains no image.")
    assert not give(page, "paste", selector="#typed"), "what is pasted into a field is the page's"
    assert not give(page, "paste", count=0, selector="body")


def test_what_is_pasted_nowhere_in_particular_is_for_the_only_element(
    page: Page, site: str, host: Callable[..., str]
) -> None:
    page.goto(host(page_with(site, count=2)))
    assert not give(page, "paste", selector="body")
    assert give(page, "paste", selector="vit-classifier:last-of-type")
    expect(page.locator("vit-classifier").last.get_by_role("status")).to_contain_text("Most likely")
    expect(page.locator("vit-classifier").first.get_by_role("status")).to_be_empty()


def test_it_is_used_by_keyboard_alone(page: Page, site: str, host: Callable[..., str]) -> None:
    page.on("filechooser", lambda _: None)  # from now on, and not only when one is waited for
    page.goto(host(page_with(site)))
    expect(page.get_by_role("button", name="Choose an image")).to_be_visible()
    focused = "document.activeElement.shadowRoot?.activeElement?.textContent"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Choose an image"
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Enter")
    choosing.value.set_files(BAG)
    expect(status(page)).to_contain_text("Most likely: Bag")
    small = page.evaluate(
        """() => [...document.querySelector('vit-classifier').shadowRoot.querySelectorAll('button')]
          .filter((button) => button.checkVisibility()).map((button) => button.getBoundingClientRect())
          .filter(({ width, height }) => width < 44 || height < 44).length"""
    )
    assert small == 0


def test_its_texts_are_the_pages_own_language(page: Page, site: str, host: Callable[..., str]) -> None:
    texts = (
        'lang="de" text-choose="Bild wählen" text-answer="Vermutlich {label} ({probability})" '
        'text-error-empty-file="Die Datei ist leer." camera="off" text-chose="x"'
    )
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    page.goto(host(page_with(site, texts, '<span slot="hint">Bild hierher ziehen</span><p>Fußnote</p>')))
    expect(page.get_by_role("button", name="Bild wählen")).to_be_visible()
    expect(page.get_by_role("button", name="Use the camera")).to_be_hidden()
    expect(page.get_by_text("Bild hierher ziehen")).to_be_visible()
    choose(page)
    expect(status(page)).to_have_text(re.compile(r"^Vermutlich Bag \(\d+,\d\s%\)$"))
    expect(page.get_by_text("Bild hierher ziehen")).to_be_hidden()
    expect(page.get_by_text("Fußnote")).to_be_visible()
    page.locator("input[type=file]").set_input_files({"name": "e.png", "mimeType": "image/png", "buffer": b""})
    expect(page.get_by_role("alert")).to_have_text("Die Datei ist leer.")
    assert len(warnings) == 1 and "has no text “text-chose”; it has: text-label" in warnings[0]


def test_it_takes_the_pages_colours(page: Page, site: str, host: Callable[..., str]) -> None:
    style = "<style>vit-classifier { --vit-accent: rgb(1, 2, 3) } ::part(base) { border-width: 7px }</style>"
    page.goto(host(page_with(site).replace("<h1>", f"{style}<h1>")))
    button = page.get_by_role("button", name="Choose an image")
    assert button.evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(1, 2, 3)"
    assert page.get_by_role("group").evaluate("(one) => getComputedStyle(one).borderTopWidth") == "7px"


def test_scripts_classify_and_change_the_model(page: Page, site: str, host: Callable[..., str]) -> None:
    page.goto(host(page_with(site, 'variant="w4_dynamic-vit"')))
    found = page.evaluate(
        """async ([site]) => {
          const element = document.querySelector('vit-classifier');
          const image = site + 'samples/fashion/bag-30.png';
          const code = (promise) => promise.then(() => '', ({ code }) => code);
          element.top = 2;
          const first = await element.classify(image);
          element.variant = 'absent';
          const second = await code(element.classify(image));
          element.removeAttribute('variant');
          const older = code(element.classify(image));
          const newer = await element.classify(image);
          const canceller = new AbortController();
          const pending = code(element.classify(image, { signal: canceller.signal }));
          canceller.abort();
          const src = element.src;
          element.src = '';
          const codes = { second, older: await older, cancelled: await pending,
                          without: await code(element.classify(image)) };
          element.src = src;
          const parent = element.parentElement;
          const moved = element.classify(image);
          parent.append(document.createElement('p'), element);  // moved: it goes on
          codes.moved = (await moved).top[0].label;
          const gone = code(element.classify(image));
          element.remove();
          codes.gone = await gone;
          return { first: first.top.map(({ label }) => label)[0], n: newer.top.length, ...codes };
        }""",
        [site],
    )
    assert found == {
        **{"first": "Bag", "n": 2, "second": "unknown_variant", "older": "aborted", "cancelled": "aborted"},
        **{"without": "bad_request", "moved": "Bag", "gone": "aborted"},
    }


def test_download_is_shown_and_cancelled(page: Page, site: str, host: Callable[..., str]) -> None:
    page.route("**/model.vit", lambda route: None)  # never answered
    page.goto(host(page_with(site)))
    choose(page)
    expect(status(page)).to_have_text("Downloading the model …")
    expect(page.get_by_role("progressbar", name="Download of the model")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(status(page)).to_have_text("Cancelled.")
    expect(page.get_by_role("progressbar")).to_be_hidden()
    page.unroute("**/model.vit")
    choose(page)
    expect(status(page)).to_contain_text("Most likely: Bag")


def test_random_weights_are_said(page: Page, site: str, host: Callable[..., str]) -> None:
    def random(route: object) -> None:
        response = route.fetch()  # type: ignore[attr-defined]
        body = response.text().replace('"weights":"embedded"', '"weights":"random"')
        route.fulfill(response=response, body=body)  # type: ignore[attr-defined]

    page.route("**/manifest.json", random)
    page.goto(host(page_with(site)))
    choose(page)
    expect(page.get_by_text("The weights of this model are random")).to_be_visible()


@pytest.fixture(scope="module")
def camera_browser(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium with a camera that films a test picture; without leave, a page may not use it."""
    with launch(playwright, flags=CAMERA) as browser:
        yield browser


TRACKS = """() => {
  const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  globalThis.tracks = [];
  navigator.mediaDevices.getUserMedia = async (wishes) => {
    const stream = await getUserMedia(wishes);
    tracks.push(...stream.getTracks());
    return stream;
  };
}"""


def states(page: Page) -> list[str]:
    """Return what the page's cameras are: `live` or `ended`."""
    found: list[str] = page.evaluate("tracks.map(({ readyState }) => readyState)")
    return found


def start_camera(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_focused()


def test_a_picture_is_taken_and_the_camera_ends_whenever_it_is_left(
    camera_browser: Browser, site: str, host: Callable[..., str]
) -> None:
    with camera_browser.new_context(permissions=["camera"]) as context:
        troubles = Troubles(context)
        page = context.new_page()
        page.add_init_script(f"({TRACKS})()")
        page.goto(host(page_with(site)))
        start_camera(page)
        expect(page.get_by_label("What the camera sees")).to_be_visible()
        assert states(page) == ["live"] and violations(page, page.main_frame) == []
        page.get_by_role("button", name="Take the picture").click()
        expect(status(page)).to_contain_text("Most likely:")
        assert states(page) == ["ended"]
        expect(page.get_by_role("listitem")).to_have_count(5)
        start_camera(page)
        page.get_by_role("button", name="Stop the camera").click()
        expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
        assert states(page) == ["ended"] * 2
        start_camera(page)
        page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
        assert states(page) == ["ended"] * 3
        start_camera(page)
        choose(page)
        expect(status(page)).to_contain_text("Most likely: Bag")
        assert states(page) == ["ended"] * 4
        start_camera(page)
        page.evaluate("tracks.at(-1).dispatchEvent(new Event('ended'))")
        expect(page.get_by_role("alert")).to_contain_text("disconnected or switched off")
        start_camera(page)
        page.evaluate("document.querySelector('vit-classifier').remove()")
        assert states(page) == ["ended"] * 6
        assert troubles.messages == []


def expect_no_camera(page: Page, message: str) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    choose(page)
    expect(status(page)).to_contain_text("Most likely: Bag")


def test_a_device_without_a_camera_is_said_to_have_none(
    context: BrowserContext, page: Page, site: str, host: Callable[..., str]
) -> None:
    context.grant_permissions(["camera"])
    page.goto(host(page_with(site)))
    expect_no_camera(page, "This device has no camera.")


def test_a_camera_that_is_denied_is_said_to_be(camera_browser: Browser, site: str, host: Callable[..., str]) -> None:
    with camera_browser.new_context() as context:
        page = context.new_page()
        page.goto(host(page_with(site)))
        expect_no_camera(page, "The browser does not allow this page to use the camera.")


def test_an_iframe_needs_leave_for_the_camera(camera_browser: Browser, site: str, host: Callable[..., str]) -> None:
    inner = host(page_with(site))
    outer = EMPTY.replace("<body>", f'<body><iframe src="{inner}" ATTRIBUTE width="600" height="800"></iframe>')
    with camera_browser.new_context(permissions=["camera"]) as context:
        page = context.new_page()
        frame = page.frame_locator("iframe")
        page.goto(host(outer.replace("ATTRIBUTE", "")))
        frame.get_by_role("button", name="Use the camera").click()
        expect(frame.get_by_role("alert")).to_contain_text('allow="camera"')
        page.goto(host(outer.replace("ATTRIBUTE", 'allow="camera"')))
        frame.get_by_role("button", name="Use the camera").click()
        expect(frame.get_by_role("button", name="Take the picture")).to_be_visible()
