"""A peer's page in Chromium: how fast its model runs, and how long a first answer takes."""

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
# An image model has no tokenizer, but transformers.js asks for its settings and gets the server's 404.
ALWAYS_ASKED = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class PeerTimes:
    """Milliseconds of warm runs: of the model's forward alone, and of the pipeline's whole call on a fetched image."""

    forward_ms: tuple[float, ...]
    whole_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FirstPrediction:
    """Milliseconds from the start of navigation to the loaded model and to the first answer, which was this one."""

    loaded_ms: float
    first_prediction_ms: float
    label: str
    score: float


@contextmanager
def blank_page(browser: Browser) -> Iterator[Page]:
    """Yield a page with empty caches that has opened nothing; raises `MeasurementError` when it fails or complains."""
    with browser.new_context() as context:
        troubles = Troubles(context)
        troubles.expect(ALWAYS_ASKED)
        try:
            yield context.new_page()
        except PlaywrightError as error:
            raise MeasurementError(f"the page failed: {first_line(error)}{listed(troubles.messages)}") from error
        if troubles.messages:
            raise MeasurementError(f"the page reported errors:{listed(troubles.messages)}")


def open_peer(
    page: Page, url: str, *, image: str = "", dtype: str = "", build: Build = "asyncify", threads: int = 1
) -> None:
    """Open the page of a served `peer_site` and wait for its model, and for the answer where it has an `image`.

    `image` is the name of one in the site's images/; `dtype` is `fp32`, `q8` or what transformers.js chooses. Raises
    `MeasurementError` when it runs with another number of threads, as it does on a page that is not isolated.
    """
    options = {"model": MODEL, "image": image and f"{IMAGES}/{image}", "dtype": dtype, "build": build}
    asked = {name: value for name, value in options.items() if value}
    page.goto(f"{url}?{urlencode(asked | {'threads': threads})}", timeout=LIMIT_MS)
    page.evaluate("() => peer.ready")
    found = page.evaluate("() => peer.threads")
    if found != threads:
        raise MeasurementError(
            f"transformers.js runs with {found} threads, not {threads}", hint="is the page isolated?"
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
    """Return warm timings of a fresh page, taken as our own page takes its own (`js/shared/benchmark.js`)."""
    with blank_page(browser) as page:
        open_peer(page, url, dtype=dtype, build=build, threads=threads)
        options = {"image": f"{IMAGES}/{image}", "runs": runs, "warmup_max": warmup_max}
        found: dict[str, Any] = page.evaluate("(options) => peer.benchmark(options)", options)
    return PeerTimes(tuple(found["forward"]["samples_ms"]), tuple(found["whole"]["samples_ms"]))


def peer_first_prediction(
    page: Page, url: str, image: str, *, threads: int = 1, dtype: str = "", build: Build = "asyncify"
) -> FirstPrediction:
    """Open the peer in a `blank_page`, slowed as the caller likes, and return when its first answer was there.

    The server packs every file when it is asked for it first: let an untimed page open it before.
    """
    open_peer(page, url, image=image, dtype=dtype, build=build, threads=threads)
    loaded, first, answer = page.evaluate("() => [peer.loaded_ms, peer.first_prediction_ms, peer.first_prediction[0]]")
    return FirstPrediction(float(loaded), float(first), answer["label"], float(answer["score"]))
