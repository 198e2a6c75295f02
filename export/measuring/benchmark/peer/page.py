"""A peer's page in Chromium: warm latency of its model, and time to first prediction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from export.core.errors import MeasurementError
from export.measuring.benchmark.peer.site import IMAGES, MODEL
from export.measuring.browser.chromium import Troubles, first_line, listed

# Of ONNX Runtime: what transformers.js loads in Chromium, with WebGPU inside; and what it loads in older Safari, the
# CPU alone, half the bytes and faster.
Build = Literal["asyncify", "plain"]
LIMIT_MS = 600_000
# An image model has no tokenizer, but transformers.js requests its configuration and gets a 404.
MISSING = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class PeerTimes:
    """Milliseconds of warm runs: of the model's forward pass alone, and of the whole pipeline on a fetched image."""

    forward_ms: tuple[float, ...]
    whole_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FirstPrediction:
    """The first prediction, and milliseconds from the start of navigation to the loaded model and to the prediction."""

    loaded_ms: float
    first_prediction_ms: float
    label: str
    score: float


@contextmanager
def blank_page(browser: Browser) -> Iterator[Page]:
    """Yield an empty page with empty caches; raises `MeasurementError` when it fails or logs errors."""
    with browser.new_context() as context:
        troubles = Troubles(context)
        troubles.expect(MISSING)
        try:
            yield context.new_page()
        except PlaywrightError as error:
            raise MeasurementError(f"the page failed: {first_line(error)}{listed(troubles.messages)}") from error
        if troubles.messages:
            raise MeasurementError(f"the page reported errors:{listed(troubles.messages)}")


def open_peer(
    page: Page, url: str, *, image: str = "", dtype: str = "", build: Build = "asyncify", threads: int = 1
) -> None:
    """Open the page of a served `peer_site` and wait for its model, and for the prediction where it has an `image`.

    `image` is the name of one in the site's images/; `dtype` is `fp32`, `q8` or what transformers.js chooses. Raises
    `MeasurementError` when it runs with another number of threads, as it does on a page that is not isolated.
    """
    options = {"model": MODEL, "image": image and f"{IMAGES}/{image}", "dtype": dtype, "build": build}
    query = {name: value for name, value in options.items() if value}
    page.goto(f"{url}?{urlencode(query | {'threads': threads})}", timeout=LIMIT_MS)
    page.evaluate("() => peer.ready")
    actual = page.evaluate("() => peer.threads")
    if actual != threads:
        raise MeasurementError(
            f"transformers.js runs with {actual} threads, not {threads}",
            hint="check that the page is cross-origin isolated",
        )


def peer_latency(
    browser: Browser,
    url: str,
    image: str,
    *,
    threads: int,
    runs: int,
    warmup_max: int = 30,
    dtype: str = "",
    build: Build = "asyncify",
) -> PeerTimes:
    """Return warm timings of a fresh page, taken as our own page takes its own (`site/js/common/benchmark.js`)."""
    with blank_page(browser) as page:
        open_peer(page, url, dtype=dtype, build=build, threads=threads)
        options = {"image": f"{IMAGES}/{image}", "runs": runs, "warmup_max": warmup_max}
        times: dict[str, Any] = page.evaluate("(options) => peer.benchmark(options)", options)
    return PeerTimes(tuple(times["forward"]["samples_ms"]), tuple(times["whole"]["samples_ms"]))


def peer_first_prediction(
    page: Page, url: str, image: str, *, threads: int = 1, dtype: str = "", build: Build = "asyncify"
) -> FirstPrediction:
    """Open the peer in a `blank_page`, throttled by the caller or not, and return its time to first prediction.

    The server compresses every file on its first request: let an untimed page open it before.
    """
    open_peer(page, url, image=image, dtype=dtype, build=build, threads=threads)
    loaded, first, top = page.evaluate("() => [peer.loaded_ms, peer.first_prediction_ms, peer.first_prediction[0]]")
    return FirstPrediction(float(loaded), float(first), top["label"], float(top["score"]))
