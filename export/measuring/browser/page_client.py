"""The built page's own client, driven from Python inside a real browser."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from export.core.errors import MeasurementError, RequestError, WrongAnswersError
from export.core.records import SCHEMA_VERSION
from export.measuring.browser.chromium import fresh_page
from export.measuring.browser.tab import Tab, WebBrowser, visit

SITE_DATA = "site-data"
# A page with the site's security policy that starts no client itself, which would download in parallel.
QUIET_PAGE = "method.html"
LIMIT_MS = 600_000  # no single call may take longer
BATCH_BYTES, BATCH_IMAGES = 4_000_000, 50

CREATE = """async ({client, worker, wasm}) => {
  const { createClient } = await import(client);
  globalThis.measured ??= [];
  return globalThis.measured.push(createClient(worker, { wasmPath: wasm })) - 1;
}"""
CALL = """async ([index, method, args, limit]) => {
  const options = method === 'load' ? [{ signal: AbortSignal.timeout(limit) }] : [];
  try {
    return { value: await globalThis.measured[index][method](...args, ...options) };
  } catch ({ name, message, code, hint }) {
    return { error: { message, code: code ?? name, hint: hint ?? '' } };
  }
}"""
CLASSIFY = """async ([index, images]) => {
  const bytes = images.map((image) => Uint8Array.from(atob(image), (character) => character.charCodeAt(0)));
  try {
    const answers = await globalThis.measured[index].classifyAll(bytes.map((part) => new Blob([part])), { topk: 1 });
    return { value: answers.map(({ logits }) => Array.from(logits)) };
  } catch ({ name, message, code, hint }) {
    return { error: { message, code: code ?? name, hint: hint ?? '' } };
  }
}"""

ANSWER = """async ([index, image, count, pause]) => {
  const bytes = Uint8Array.from(atob(image), (character) => character.charCodeAt(0));
  const times = [];
  try {
    for (let number = 0; number < count; number++) {
      if (number > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      const { inference_ms } = await globalThis.measured[index].classify(new Blob([bytes]), { topk: 1 });
      times.push(inference_ms);
    }
    return { value: times };
  } catch ({ name, message, code, hint }) {
    return { error: { message, code: code ?? name, hint: hint ?? '' } };
  }
}"""


class _SiteData(HTMLParser):
    """Collects the text of `<script id="site-data">`."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.text = False, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and ("id", SITE_DATA) in attrs

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data


def read_site_data(site: Path) -> dict[str, Any]:
    """Return the data of a built page on its models and assets; raises `RequestError` when it is no page of ours."""
    index = site / "index.html"
    if not index.is_file():
        raise RequestError(f"{site} contains no built page", hint="build it: python -m export.build")
    parser = _SiteData()
    parser.feed(index.read_text(encoding="utf-8"))
    try:
        data: dict[str, Any] = json.loads(parser.text)
    except ValueError as error:
        raise RequestError(
            f"{index} was not built by ViT Pages: it has no site data", hint="build it again: python -m export.build"
        ) from error
    if data.get("schema_version") != SCHEMA_VERSION:
        raise RequestError(f"{index} was built by another version", hint="build it again: python -m export.build")
    return data


class PageClient:
    """A new client in a browser page; every call raises `MeasurementError` with the page's message.

    For a back end that fails the page's self-test it is a `WrongAnswersError`.
    """

    def __init__(self, page: Page | Tab, url: str, site_data: dict[str, Any]) -> None:
        self.page, self.url = page, url
        assets = {name: url + site_data["assets"][name] for name in ("client", "worker", "wasm")}
        self.index = page.evaluate(CREATE, assets)

    def device(self) -> dict[str, Any]:
        """Return what the page reports about the device and the browser."""
        return dict(self._call("device"))

    def backends(self, engine: str) -> list[dict[str, Any]]:
        """Return every back end of an engine with whether it is available, and why not."""
        return list(self._call("backends", engine))

    def load(
        self,
        model: dict[str, Any],
        variant: dict[str, Any],
        backend: str,
        threads: int,
        *,
        build: str | None = None,
        batch: int = 1,
    ) -> dict[str, Any]:
        """Download, decode, compile, run once and test; return the cold times, the threads really used and the test.

        `build` is one of the engine's, instead of the one for this machine; `batch` how many images `classify` may
        have run at once.
        """
        request = {"model": model, "variant": variant, "base": self.url, "backend": backend, "threads": threads}
        request |= {"batch": batch} | ({"build": build} if build else {})
        return dict(self._call("load", request))

    def benchmark(self, runs: int, warmup_max: int) -> list[float]:
        """Return the milliseconds of `runs` warm runs, read-back included."""
        return list(self._call("benchmark", {"runs": runs, "warmup_max": warmup_max})["samples_ms"])

    def answer(self, image: bytes, count: int, pause_ms: float) -> list[float]:
        """Return the milliseconds that the model takes for one encoded image, `count` times, with pauses between."""
        arguments = [self.index, base64.b64encode(image).decode(), count, pause_ms]
        return list(self._value(self.page.evaluate(ANSWER, arguments), "classify"))

    def classify(self, images: Sequence[bytes]) -> Iterator[NDArray[np.float32]]:
        """Yield the outputs `[n, K]` of encoded images, a batch at a time, through the page's whole pipeline."""
        for batch in batches(images):
            encoded = [base64.b64encode(image).decode() for image in batch]
            yield np.array(self._value(self.page.evaluate(CLASSIFY, [self.index, encoded]), "classify"), np.float32)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._value(self.page.evaluate(CALL, [self.index, method, list(arguments), LIMIT_MS]), method)

    def _value(self, answer: dict[str, Any], method: str) -> Any:
        if error := answer.get("error"):
            kind = WrongAnswersError if error["code"] == "wrong_result" else MeasurementError
            raise kind(f"the page's {method}: {error['message']} [{error['code']}]", hint=error["hint"])
        return answer["value"]


def batches(images: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Split images into lists of at most 50 images and 4 MB; a larger image gets a list of its own."""
    batch: list[bytes] = []
    size = 0
    for image in images:
        if batch and (len(batch) == BATCH_IMAGES or size + len(image) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(image)
        size += len(image)
    if batch:
        yield batch


@contextmanager
def page_client(browser: Browser | WebBrowser, url: str, site_data: dict[str, Any]) -> Iterator[PageClient]:
    """Yield the client of a page opened with empty caches; raises `MeasurementError` when the page logs errors."""
    opening = (
        fresh_page(browser, url + QUIET_PAGE) if isinstance(browser, Browser) else visit(browser, url + QUIET_PAGE)
    )
    with opening as page:
        yield PageClient(page, url, site_data)
