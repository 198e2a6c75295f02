"""The library in a page of another origin: what it takes, what it answers, and what it says when it cannot."""

import gzip
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosts import EMPTY, ICON, MANIFEST, SAMPLES, at, example
from playwright.sync_api import BrowserContext, Page, expect

from export.measuring.browser.chromium import Troubles
from export.measuring.browser.network import transferred
from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

PATIENCE_S = 20
MOST_BYTES = 60_000  # gzipped, of all that a page downloads but weights
LOAD = """async ([site, options]) => {
  const library = await import(site + 'lib/vit-pages.js');
  globalThis.outcome = async (promise) => {
    try {
      return await promise;
    } catch ({ name, code, message, hint }) {
      return { name, code, message, hint };
    }
  };
  globalThis.library = library;
  globalThis.manifest = site + 'models/fashion/manifest.json';
  globalThis.vit = await library.load(manifest, options);
  const { name, variant, threads, threadsReason, fromCache, labels } = vit;
  return { name, variant, threads, threadsReason, fromCache, labels, isolated: crossOriginIsolated };
}"""


def load(page: Page, site: str, **options: Any) -> dict[str, Any]:
    """Import the library in a page and load the model as `vit`; return what it says of itself."""
    loaded: dict[str, Any] = page.evaluate(LOAD, [site, options])
    return loaded


def expect_no_workers(page: Page) -> None:
    """Wait until the page's workers have ended, which a test hears of later."""
    deadline = time.monotonic() + PATIENCE_S
    while page.workers and time.monotonic() < deadline:
        page.evaluate("new Promise(requestAnimationFrame)")
    assert page.workers == []


@pytest.fixture
def guest(page: Page, host: Callable[..., str]) -> Page:
    """An empty page of another origin than the site's."""
    page.goto(host(EMPTY))
    return page


def test_the_ten_lines_of_the_docs_answer_on_another_origin(page: Page, site: str, host: Callable[..., str]) -> None:
    html = example("library.md", "import { load }")
    assert len(html.splitlines()) == 10
    page.goto(host(at(site, html), files={"favicon.ico": b""}))
    page.get_by_label("Picture").set_input_files(SAMPLES / "bag-30.png")
    expect(page.locator("output")).to_have_text(re.compile(r"^Bag: \d+ %$"))


def test_a_page_downloads_little_beside_the_weights(guest: Page, site: str, library_site: Path) -> None:
    with transferred(guest) as transfers:
        load(guest, site)
    names = {url.removeprefix(site) for url in transfers.bytes}
    scripts = {name for name in names if not name.startswith("models/")}
    assert {"lib/vit-pages.js"} < scripts and len([name for name in scripts if name.endswith(".wasm")]) == 1
    sizes = {path: len(gzip.compress(path.read_bytes(), 9)) for path in library_site.rglob("*.*")}
    everything = {*library_site.glob("lib/*.js"), *library_site.glob("assets/*_worker.*.js")}
    everything |= {*library_site.glob("assets/vit_thread.*.js")}
    largest = max(size for path, size in sizes.items() if path.suffix == ".wasm")
    assert sum(sizes[path] for path in everything) + largest <= MOST_BYTES


def test_it_works_with_one_thread_without_any_header(guest: Page, site: str) -> None:
    loaded = load(guest, site)
    assert (loaded["name"], loaded["variant"], loaded["isolated"]) == ("fashion", "w8_dynamic-vit", False)
    assert loaded["threads"] == 1 and "not cross-origin isolated" in loaded["threadsReason"]
    assert [worker.url[:5] for worker in guest.workers] == ["blob:"]  # the page's own thread stays free
    found = guest.evaluate("async ([site]) => vit.classify(site + 'samples/fashion/bag-30.png')", [site])
    assert found["top"][0]["label"] == "Bag" == loaded["labels"][found["top"][0]["index"]]
    assert len(found["top"]) == 5 and sum(one["probability"] for one in found["top"]) <= 1.0001
    assert (found["width"], found["height"], found["unknown"]) == (28, 28, False)


def test_it_uses_threads_in_an_isolated_page(page: Page, site: str, host: Callable[..., str]) -> None:
    page.goto(host(EMPTY, isolated=True))
    loaded = load(page, site, threads=2)
    assert loaded["isolated"] and (loaded["threads"], loaded["threadsReason"]) == (2, "")
    found = page.evaluate("async ([site]) => vit.classify(site + 'samples/fashion/bag-30.png')", [site])
    assert found["top"][0]["label"] == "Bag"


@pytest.mark.parametrize("isolated", [False, True], ids=["plain", "isolated"])
def test_it_works_on_the_sites_own_origin(page: Page, library_site: Path, isolated: bool) -> None:
    with serving(library_site, isolated=isolated) as url:
        page.goto(url + "method.html")
        assert load(page, url)["isolated"] is isolated
        assert not [worker.url for worker in page.workers if worker.url.startswith("blob:")]


def test_an_isolated_page_whose_scripts_come_without_headers_has_threads(page: Page, library_site: Path) -> None:
    """As where the service worker, or a rule for pages alone, isolates."""
    with serving(library_site, isolated=True) as url:

        def bare(route: Any) -> None:
            response = route.fetch()
            headers = {name: value for name, value in response.headers.items() if not name.startswith("cross-origin")}
            route.fulfill(response=response, headers=headers)

        page.route("**/assets/*.js", bare)
        page.goto(url + "method.html")
        assert load(page, url, threads=2)["threads"] == 2


INPUTS = """async ([site]) => {
  const url = site + 'samples/fashion/bag-30.png';
  const blob = await (await fetch(url)).blob();
  const image = new Image();
  image.crossOrigin = 'anonymous';
  image.src = url;
  await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: 28, height: 28 });
  canvas.getContext('2d').drawImage(image, 0, 0);
  const offscreen = new OffscreenCanvas(28, 28);
  offscreen.getContext('2d').drawImage(image, 0, 0);
  const bitmap = await createImageBitmap(blob);
  const pixels = canvas.getContext('2d').getImageData(0, 0, 28, 28);
  const frame = new VideoFrame(canvas, { timestamp: 0 });
  const other = document.body.appendChild(document.createElement('iframe')).contentDocument.createElement('img');
  other.crossOrigin = 'anonymous';
  other.src = url;
  const stream = canvas.captureStream(10);
  const video = Object.assign(document.createElement('video'), { srcObject: stream, muted: true });
  document.body.append(video);
  video.play();
  const drawing = setInterval(() => canvas.getContext('2d').drawImage(image, 0, 0), 20);
  const inputs = { blob, file: new File([blob], 'bag.png'), text: url, url: new URL(url), image, other, canvas,
                   offscreen, bitmap, pixels, frame, video };
  const found = {};
  for (const [name, input] of Object.entries(inputs)) {
    const { top, logits } = await vit.classify(input, { top: 1 });
    found[name] = { label: top[0].label, n: top.length, logits: [...logits] };
  }
  clearInterval(drawing);
  const stayed = bitmap.width === 28 && pixels.data.length === 4 * 28 * 28 && frame.displayWidth === 28;
  return { found, stayed };
}"""


def test_all_that_shows_an_image_is_taken_and_stays_the_callers(guest: Page, site: str) -> None:
    load(guest, site)
    answer = guest.evaluate(INPUTS, [site])
    wanted = answer["found"]["blob"]
    assert answer["stayed"] and len(answer["found"]) == 12
    for name, found in answer["found"].items():
        assert (found["label"], found["n"]) == ("Bag", 1), name
        if name != "video":  # it is compressed
            assert found["logits"] == pytest.approx(wanted["logits"], abs=1e-4), name


def test_progress_is_told_and_the_second_visit_needs_no_download(guest: Page, site: str, troubles: Troubles) -> None:
    progress = guest.evaluate(
        """async ([site]) => {
          const { load } = await import(site + 'lib/vit-pages.js');
          const told = [];
          const options = { variant: 'w4_dynamic-vit', onProgress: (one) => told.push(one) };
          (await load(site + 'models/fashion/manifest.json', options)).dispose();
          return told;
        }""",
        [site],
    )
    phases = [one["phase"] for one in progress]
    assert list(dict.fromkeys(phases)) == ["download", "compile", "decode", "first_run", "selftest"]
    loaded = [one["loaded"] for one in progress if one["phase"] == "download"]
    assert loaded == sorted(loaded) and loaded[0] == 0 and loaded[-1] == progress[0]["total"] > 1_000_000
    guest.reload()
    asked: list[str] = []
    guest.context.on("request", lambda request: asked.append(request.url))
    second = load(guest, site, variant="w4_dynamic-vit")
    assert second["fromCache"] and second["variant"] == "w4_dynamic-vit"
    assert not [url for url in asked if "/w4_dynamic" in url]
    guest.evaluate("library.clearCache()")
    assert not load(guest, site, variant="w4_dynamic-vit")["fromCache"]


def test_what_is_under_way_can_be_ended(guest: Page, site: str) -> None:
    load(guest, site)
    codes = guest.evaluate(
        """async ([site]) => {
          const image = site + 'samples/fashion/bag-30.png';
          const code = async (promise) => (await outcome(promise)).code;
          const begun = new AbortController();
          const options = { signal: begun.signal, onProgress: () => begun.abort() };
          const codes = { load: await code(library.load(manifest, options)) };
          codes.before = await code(library.load(manifest, { signal: AbortSignal.abort() }));
          codes.classify = await code(vit.classify(image, { signal: AbortSignal.abort() }));
          const running = new AbortController();
          const pending = code(vit.classify(image, { signal: running.signal }));
          running.abort();
          codes.running = await pending;
          codes.next = (await vit.classify(image)).top[0].label;
          const waiting = code(vit.classify(image));
          vit.dispose();
          vit.dispose();
          codes.waiting = await waiting;
          codes.after = await code(vit.classify(image));
          return codes;
        }""",
        [site],
    )
    aborted = dict.fromkeys(("load", "before", "classify", "running"), "aborted")
    assert codes == {**aborted, "next": "Bag", "waiting": "disposed", "after": "disposed"}
    expect_no_workers(guest)


WRONG = {
    "another kind": ("{ a: 1 }", "bad_input", "of the class Object"),
    "nothing": ("undefined", "bad_input", "of the kind Undefined"),
    "an element": ("document.body", "bad_input", "HTMLBodyElement"),
    "an empty file": ("new Blob([])", "empty_file", "0 bytes"),
    "a text file": ("new Blob(['hello'])", "not_an_image", "not an image"),
    "a web page": ("location.href", "not_an_image", "a web page"),
    "an image without source": ("new Image()", "damaged_image", "no source"),
    "a canvas without size": (
        "Object.assign(document.createElement('canvas'), { width: 0 })",
        "bad_input",
        "has no picture",
    ),
    "a video without source": ("document.createElement('video')", "bad_input", "no source"),
    "a closed bitmap": ("closed", "bad_input", "closed"),
    "no address": ("'http://['", "bad_request", "no address"),
    "an address that is not there": ("site + 'absent.png'", "http_error", "404"),
    "a host that is not there": ("'http://127.0.0.1:9/'", "network_lost", "could not be fetched"),
    "an image of another origin": ("foreign", "cross_origin_image", "another origin"),
    "a canvas with one on it": ("tainted", "cross_origin_image", "another origin"),
}


def test_each_wrong_input_has_its_code_and_a_step(guest: Page, site: str, troubles: Troubles) -> None:
    troubles.expect("404|ERR_")
    load(guest, site)
    found = guest.evaluate(
        """async ([site, inputs]) => {
          const bitmap = await createImageBitmap(new ImageData(1, 1));
          bitmap.close();
          const foreign = Object.assign(new Image(), { src: site + 'samples/fashion/bag-30.png' });
          await foreign.decode();
          const tainted = document.createElement('canvas');
          tainted.getContext('2d').drawImage(foreign, 0, 0);
          const make = (text) => new Function('site', 'closed', 'foreign', 'tainted', `return ${text}`);
          const found = {};
          for (const [name, text] of Object.entries(inputs))
            found[name] = await outcome(vit.classify(make(text)(site, bitmap, foreign, tainted)));
          return found;
        }""",
        [site, {name: text for name, (text, _, _) in WRONG.items()}],
    )
    for name, (_, code, message) in WRONG.items():
        assert (found[name]["name"], found[name]["code"]) == ("VitError", code), (name, found[name])
        assert message in found[name]["message"] and found[name]["hint"], (name, found[name])


def test_wrong_options_are_refused(guest: Page, site: str) -> None:
    load(guest, site)
    found = guest.evaluate(
        """async () => ({
          option: await outcome(library.load(manifest, { varient: 'x' })),
          threads: await outcome(library.load(manifest, { threads: 0 })),
          variant: await outcome(library.load(manifest, { variant: 'x' })),
          address: await outcome(library.load(7)),
          top: await outcome(vit.classify(new Blob([]), { top: 1.5 })),
          topk: await outcome(vit.classify(new Blob([]), { topk: 1 })),
        })"""
    )
    codes = {name: one["code"] for name, one in found.items()}
    assert codes == {**dict.fromkeys(codes, "bad_request"), "variant": "unknown_variant"}
    assert "it has: variant, threads, signal, onProgress, assets" in found["option"]["message"]
    assert "it runs: w8_dynamic-vit, w4_dynamic-vit" in found["variant"]["message"]


def damaged(library_site: Path, folder: Path, name: str) -> Path:
    """Return a copy of the site in which something is not as it should be."""
    shutil.copytree(library_site, folder)
    manifest = folder / MANIFEST
    values = json.loads(manifest.read_text())
    if name == "weights":
        path = next(folder.glob("models/fashion/w8*/model.vit"))
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif name == "other engines":
        values["model"]["variants"][0].update(engine="tfjs", id="u8-tfjs")
        del values["model"]["variants"][1]
    elif name == "version":
        values["schema_version"] = 2
    elif name == "labels":
        del values["model"]["labels"]
    manifest.write_text("{" if name == "json" else json.dumps(values))
    if name == "page":
        manifest.write_text("<!doctype html><title>Welcome</title>")
    if name == "absent":
        manifest.unlink()
    if name == "worker":
        next(folder.glob("assets/library_worker.*.js")).unlink()
    return folder


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("weights", "hash_mismatch", "model.vit is not the published file"),
        ("other engines", "unknown_variant", "no variant for the engine “vit”; it has: u8-tfjs"),
        ("version", "bad_manifest", "version 2 of the format; this library reads version 1"),
        ("labels", "bad_manifest", "lacks the model’s labels"),
        ("json", "bad_manifest", "is not JSON"),
        ("page", "html_instead", "is a web page"),
        ("absent", "http_error", "status 404"),
        ("worker", "http_error", "status 404 for the library’s worker"),
    ],
)
def test_a_site_that_is_not_as_it_should_be_is_named(
    name: str, code: str, message: str, guest: Page, library_site: Path, tmp_path: Path, troubles: Troubles
) -> None:
    troubles.expect("404|ERR_")
    with serving(damaged(library_site, tmp_path / "site", name)) as url:
        error = guest.evaluate(
            """async ([site, manifest]) => {
              const { load } = await import(site + 'lib/vit-pages.js');
              return load(site + manifest).then(() => null, ({ code, message, hint }) => ({ code, message, hint }));
            }""",
            [url, MANIFEST],
        )
    assert error["code"] == code and message in error["message"] and error["hint"]
    expect_no_workers(guest)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("script-src SITE 'wasm-unsafe-eval'; worker-src SITE; connect-src SITE", "blocked_by_policy"),
        ("script-src SITE; worker-src blob:; connect-src SITE", "blocked_by_policy"),
        ("script-src SITE 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self'", "network_lost"),
        ("script-src SITE 'wasm-unsafe-eval'; worker-src blob:; connect-src SITE", None),
    ],
    ids=["no worker", "no wasm", "no connection", "just enough"],
)
def test_a_page_with_a_policy_is_told_what_it_must_allow(
    policy: str, code: str | None, context: BrowserContext, site: str, host: Callable[..., str]
) -> None:
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy.replace("SITE", site)}">'
    page = context.new_page()
    page.goto(host(EMPTY.replace(ICON, head + ICON)))
    outcome = page.evaluate(
        """async ([site, manifest]) => {
          const { load } = await import(site + 'lib/vit-pages.js');
          return load(site + manifest).then(() => null, ({ code, message, hint }) => ({ code, message, hint }));
        }""",
        [site, MANIFEST],
    )
    assert (outcome and outcome["code"]) == code, outcome
    assert outcome is None or "Content-Security-Policy" in outcome["hint"]
