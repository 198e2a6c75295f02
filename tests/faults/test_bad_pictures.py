"""Files that are no pictures, or are not whole, chosen in the page: each is refused with the next step."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulting import Tally
from PIL import Image
from playwright.sync_api import Browser

from export.core.errors import MeasurementError
from export.measuring.browser.page_client import PageClient, page_client, read_site_data
from export.measuring.browser.server import serving

pytestmark = [pytest.mark.faults("pictures"), pytest.mark.browser]


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG that says it is so large and has other data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BAD_PICTURES = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"not a picture",
    "web page": b"<!doctype html><html><body>Please sign in.</body></html>",
    "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12345\n",
    "JSON": b'{"picture": null}',
    "PDF": b"%PDF-1.7\n" + bytes(500),
    "zip": b"PK\x03\x04" + bytes(500),
    "sound": b"RIFF\x24\x08\x00\x00WAVEfmt " + bytes(500),
    "film": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(500),
    "executable": b"\x7fELF\x02\x01\x01" + bytes(500),
    "random bytes": np.random.default_rng(1).bytes(5000),
    "zeros": bytes(5000),
    "signature of a JPEG alone": b"\xff\xd8\xff\xe0",
    "signature of a PNG alone": b"\x89PNG\r\n\x1a\n",
    "header of a JPEG alone": encoded("JPEG")[:160],
    "header of a PNG alone": encoded("PNG")[:33],
    "GIF without a frame": b"GIF89a\x0a\x00\x0a\x00\x00\x00\x00\x3b",
    "WebP cut in its header": encoded("WEBP")[:24],
    "BMP cut in its header": encoded("BMP")[:40],
    "PNG of no width": png(0, 10),
    "PNG of 65535×65535": png(65535, 65535),
    "PNG of 2^31 rows": png(1, 2**31 - 1),
}


@pytest.fixture(scope="module")
def client(chromium: Browser, built_site: Path) -> Iterator[PageClient]:
    data = read_site_data(built_site)
    model = data["models"][0]
    with serving(built_site) as url, page_client(chromium, url, data) as client:
        client.load(model, model["variants"][0], "wasm", 1)
        yield client


def test_bad_pictures_are_refused(client: PageClient, tally: Tally) -> None:
    for name, data in BAD_PICTURES.items():
        try:
            (logits,) = client.classify([data])
        except MeasurementError as error:
            clear = error.hint and not any(code in str(error) for code in ("[internal]", "[bad_request]"))
            tally.count("answered" if clear else "unclear", f"{name}: {error}")
        else:
            tally.count("wrong", f"{name}: {logits}")
    (logits,) = client.classify([encoded("PNG")])
    assert np.isfinite(logits).all()


def test_pictures_cut_anywhere_are_refused_or_answered(client: PageClient, full: bool, tally: Tally) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = encoded(kind)
        for place in range(1, 10 if full else 3):
            cut = data[: len(data) * place // 10]
            try:
                (logits,) = client.classify([cut])
            except MeasurementError as error:
                clear = error.hint and "[internal]" not in str(error)
                tally.count("answered" if clear else "unclear", f"{kind} cut at {place} tenths: {error}")
            else:
                tally.count("answered" if np.isfinite(logits).all() else "wrong", f"{kind} cut at {place} tenths")
