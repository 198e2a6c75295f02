"""First visits: every byte until the first answer, and how long that takes on a slow line and processor."""

import gzip
from collections.abc import Callable, Iterable
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
from export.measuring.benchmark.peer.target import PEERS, sample_picture
from export.measuring.browser.network import throttle, transferred
from export.measuring.browser.server import serving
from export.page.reports.benchmark import Start

LIMIT_MS = 600_000
# The page says what one run took once the answer is there.
ANSWERED = """() => new Promise((resolve) => {
  const place = document.getElementById('single-run');
  const look = () => { if (place.textContent) resolve(performance.now()); };
  new MutationObserver(look).observe(place, { childList: true, characterData: true, subtree: true });
  look();
})"""


@dataclass(frozen=True, slots=True)
class Slowness:
    """A line and a processor, as of a phone in the middle of nowhere."""

    mbit_per_s: float
    delay_ms: float
    cpu_slowdown: float


SLOW = Slowness(mbit_per_s=10, delay_ms=40, cpu_slowdown=4)
Visit = Callable[[Page], float]  # opens a page, and returns the milliseconds from navigation to the first answer


def first_visits(
    browser: Browser,
    url: str,
    site: Path,
    model: dict[str, Any],
    variants: dict[str, tuple[str, str]],
    artifact: Path,
    count: int,
) -> list[Start]:
    """Return the first visits of `variants`, id → (role, title), of a served page and of its peers, `count` of each."""
    contenders: list[tuple[str, str, Path, Visit]] = [
        (role, title, site, _own_visit(url, model["name"], variant)) for variant, (role, title) in variants.items()
    ]
    picture = sample_picture()
    with peer_site(artifact, images=[picture]) as folder, serving(folder, isolated=True) as peer_url:
        for role, title, build in PEERS:
            visit = _peer_visit(peer_url, picture.name, build)
            contenders.append((role, title, folder, visit))
        progress = Progress(len(contenders) * (count + 1))
        found = []
        for role, title, served, visit in contenders:
            sizes = _bytes(browser, served, visit)  # which also lets the server pack every file
            progress.step(f"{model['name']}, {title}: {sizes[1] / 1e6:.2f} MB with gzip")
            seconds = []
            for _ in range(count):
                seconds.append(_slow_visit(browser, visit) / 1000)
                progress.step(f"{model['name']}, {title}: first answer after {seconds[-1]:.1f} s")
            raw, packed, best = sizes
            start = Start(
                model=model["name"],
                role=role,
                title=title,
                bytes=raw,
                gzip_bytes=packed,
                brotli_bytes=best,
                seconds=tuple(seconds),
            )
            found.append(start)
    return found


def _own_visit(url: str, model: str, variant: str) -> Visit:
    def visit(page: Page) -> float:
        page.goto(f"{url}#{urlencode({'model': model, 'variant': variant})}", timeout=LIMIT_MS)
        page.locator(".sample:visible").first.click(timeout=LIMIT_MS)
        return float(page.evaluate(ANSWERED))

    return visit


def _peer_visit(url: str, image: str, build: Any) -> Visit:
    return lambda page: peer_first_prediction(page, url, image, dtype="q8", build=build, threads=1).first_prediction_ms


def _slow_visit(browser: Browser, visit: Visit) -> float:
    with (
        blank_page(browser) as page,
        throttle(page, mbit_per_s=SLOW.mbit_per_s, latency_ms=SLOW.delay_ms, cpu_slowdown=SLOW.cpu_slowdown),
    ):
        return visit(page)


def _bytes(browser: Browser, site: Path, visit: Visit) -> tuple[int, int, int]:
    """Return the raw, gzip and brotli bytes of the files that a visit asks for, heads of answers left out."""
    with blank_page(browser) as page, transferred(page) as found:
        visit(page)
    return packed_sizes(site, found.bytes)


def packed_sizes(site: Path, urls: Iterable[str]) -> tuple[int, int, int]:
    """Return the raw, gzip and brotli bytes of files of a served folder by their addresses, those that are there."""
    raw = packed = best = 0
    for url in urls:
        path = site / urlsplit(url).path.lstrip("/")
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            continue  # what the peer asks for in vain
        data = path.read_bytes()
        raw, packed = raw + len(data), packed + min(len(data), len(gzip.compress(data, 9, mtime=0)))
        best += min(len(data), len(brotli.compress(data)))
    if raw == 0:
        raise MeasurementError(f"none of what a visit asked for lies in {site}")
    return raw, packed, best
