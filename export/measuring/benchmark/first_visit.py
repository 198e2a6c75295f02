"""First visits: bytes downloaded until the first prediction, and the time to it on a throttled network and CPU."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import brotli  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

from export.core.console import Progress
from export.core.errors import MeasurementError
from export.measuring.benchmark.peer.page import blank_page, peer_first_prediction
from export.measuring.benchmark.peer.site import peer_site
from export.measuring.benchmark.peer.target import PEERS, sample_image
from export.measuring.benchmark.site import BenchmarkSite
from export.measuring.benchmark.targets import Target
from export.measuring.browser.network import throttle, transferred
from export.measuring.browser.server import serving
from export.page.reports.benchmark.records import FirstVisit

LIMIT_MS = 600_000
# The page shows the time of a single run once the prediction is there.
PREDICTED = """() => new Promise((resolve) => {
  const place = document.getElementById('single-run');
  const look = () => { if (place.textContent) resolve(performance.now()); };
  new MutationObserver(look).observe(place, { childList: true, characterData: true, subtree: true });
  look();
})"""


@dataclass(frozen=True, slots=True)
class Throttling:
    """Bandwidth, round-trip time and CPU slowdown of first visits, as on a mid-range phone."""

    mbit_per_s: float
    delay_ms: float
    cpu_slowdown: float


SLOW = Throttling(mbit_per_s=10, delay_ms=40, cpu_slowdown=4)


@dataclass(frozen=True, slots=True)
class Visit:
    """How to visit a target: `time` opens a page and returns the milliseconds from navigation to first prediction.

    `folder` is what is served.
    """

    name: str
    title: str
    folder: Path
    time: Callable[[Page], float]


def measure_first_visits(
    browser: Browser, url: str, site: BenchmarkSite, targets: Sequence[Target], count: int
) -> list[FirstVisit]:
    """Return `count` first visits each of `targets` on a served site, and of its peers."""
    model, image = site.model["name"], sample_image()
    visits = [
        Visit(target.name, target.title, site.folder, _page_visit(url, model, target.variant)) for target in targets
    ]
    with peer_site(site.float_folder, images=[image]) as folder, serving(folder, isolated=True) as peer_url:
        visits += [Visit(name, title, folder, _peer_visit(peer_url, image.name, build)) for name, title, build in PEERS]
        progress = Progress(len(visits) * (count + 1))
        return [_measure(browser, model, visit, count, progress) for visit in visits]


def _measure(browser: Browser, model: str, visit: Visit, count: int, progress: Progress) -> FirstVisit:
    raw, gzipped, best = _download(browser, visit)  # which also lets the server compress every file
    progress.step(f"{model}, {visit.title}: {gzipped / 1e6:.2f} MB with gzip")
    seconds = []
    for _ in range(count):
        seconds.append(_throttled_visit(browser, visit) / 1000)
        progress.step(f"{model}, {visit.title}: time to first prediction {seconds[-1]:.1f} s")
    return FirstVisit(
        model=model,
        role=visit.name,
        title=visit.title,
        bytes=raw,
        gzip_bytes=gzipped,
        brotli_bytes=best,
        seconds=tuple(seconds),
    )


def _page_visit(url: str, model: str, variant: str) -> Callable[[Page], float]:
    def time(page: Page) -> float:
        page.goto(f"{url}#{urlencode({'model': model, 'variant': variant})}", timeout=LIMIT_MS)
        page.locator(".sample:visible").first.click(timeout=LIMIT_MS)
        return float(page.evaluate(PREDICTED))

    return time


def _peer_visit(url: str, image: str, build: Any) -> Callable[[Page], float]:
    return lambda page: peer_first_prediction(page, url, image, dtype="q8", build=build, threads=1).first_prediction_ms


def _throttled_visit(browser: Browser, visit: Visit) -> float:
    with (
        blank_page(browser) as page,
        throttle(page, mbit_per_s=SLOW.mbit_per_s, latency_ms=SLOW.delay_ms, cpu_slowdown=SLOW.cpu_slowdown),
    ):
        return visit.time(page)


def _download(browser: Browser, visit: Visit) -> tuple[int, int, int]:
    """Return the raw, gzip and brotli bytes of the files that a visit requests, without response headers."""
    with blank_page(browser) as page, transferred(page) as transfers:
        visit.time(page)
    return packed_sizes(visit.folder, transfers.bytes)


def packed_sizes(site: Path, urls: Iterable[str]) -> tuple[int, int, int]:
    """Return the raw, gzip and brotli bytes of files of a served folder by their addresses, those that are there."""
    raw = gzipped = best = 0
    for url in urls:
        path = site / urlsplit(url).path.lstrip("/")
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            continue  # a peer's request that gets a 404
        data = path.read_bytes()
        raw, gzipped = raw + len(data), gzipped + min(len(data), len(gzip.compress(data, 9, mtime=0)))
        best += min(len(data), len(brotli.compress(data)))
    if raw == 0:
        raise MeasurementError(f"none of the files that a visit requested is in {site}")
    return raw, gzipped, best
