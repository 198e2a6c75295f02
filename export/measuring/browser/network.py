"""Counting what a page downloads, and throttling its network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, Request

from export.measuring.browser.throttle import throttle_cpu


@dataclass
class Transfers:
    """Bytes transferred by address, response headers and encoded body together, as the browser's own tools count."""

    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes.values())


@contextmanager
def transferred(page: Page) -> Iterator[Transfers]:
    """Count what the page and its workers download within the block; the figures are there when it has ended.

    A response from the browser's cache counts as 0, an address requested twice has the sum. Failed requests and what
    needs no network (`data:`, `blob:`) do not count. Open nothing else in the page's context within the block.
    """
    finished: list[Request] = []
    transfers = Transfers()

    def note(request: Request) -> None:
        finished.append(request)

    page.context.on("requestfinished", note)
    try:
        yield transfers
    finally:
        page.context.remove_listener("requestfinished", note)
    for request in finished:
        if request.url.startswith("http"):
            transfers.bytes[request.url] = transfers.bytes.get(request.url, 0) + _encoded_bytes(request)


def _encoded_bytes(request: Request) -> int:
    sizes = request.sizes()
    headers, body = sizes["responseHeadersSize"], sizes["responseBodySize"]
    if body < 0:  # from the cache: Chromium reports 0 bytes in all, from which Playwright subtracts the headers
        return 0
    if body == 0:  # for a worker's own script Chromium reports the headers alone
        response = request.response()
        body = int((response and response.header_value("content-length")) or 0)
    return headers + body


@contextmanager
def throttle_network(page: Page, *, mbit_per_s: float, latency_ms: float) -> Iterator[None]:
    """Limit the bandwidth of the page and its workers within the block, and add `latency_ms` to every response.

    Chromium does it (`Network.emulateNetworkConditions`), measured with version 156: requests of the page and of the
    workers it starts are throttled, those of workers that a worker starts are not, nor is a worker's script from the
    cache. 1 Mbit is 1,000,000 bits.
    """
    session = page.context.new_cdp_session(page)
    bytes_per_s = mbit_per_s * 1e6 / 8
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": latency_ms, "downloadThroughput": bytes_per_s, "uploadThroughput": bytes_per_s},
    )
    try:
        yield
    finally:
        session.detach()  # which ends the emulation


@contextmanager
def throttle(page: Page, *, mbit_per_s: float, latency_ms: float, cpu_slowdown: float) -> Iterator[None]:
    """Throttle the network of the page (`throttle_network`) and the CPU of its browser's pages (`throttle_cpu`)."""
    browser = page.context.browser
    assert browser is not None, "a persistent context has no browser of its own"
    with throttle_network(page, mbit_per_s=mbit_per_s, latency_ms=latency_ms), throttle_cpu(browser, cpu_slowdown):
        yield
