"""Every kind of picture through the real page: answered as PyTorch answers it, or refused with a reason."""

import base64
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from damaged_pictures import apng_with_stand_in, encoded, gif_on_screen, oddly_coloured, picture, turned
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from export.core.records import Preprocess
from export.data.preprocess import preprocess, read_image, resize_and_crop
from export.measuring.browser.page_client import PageClient, page_client, read_site_data
from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

SCRIPTS = Path(__file__).parents[2] / "site" / "js"
WIDTH, HEIGHT = 61, 43
WIDE = picture(400, 300)


def sixteen_bits() -> bytes:
    values = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def grey_below() -> Image.Image:
    values = np.asarray(WIDE.convert("RGB")).copy()
    values[len(values) // 2 :] = 128
    return Image.fromarray(values)


def animated() -> bytes:
    return encoded(picture(), "GIF", save_all=True, append_images=[picture(mode="L").convert("RGB")], duration=100)


def huge() -> bytes:
    """Return a PNG that says it has 100 megapixels and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (10_000).to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(30_001))) + chunk(b"IEND", b"")


EXACT = {
    "png": encoded(picture(), "PNG"),
    "grey png": encoded(picture(mode="L"), "PNG"),
    "palette png": encoded(picture(mode="P"), "PNG"),
    "smaller than the model": encoded(picture(width=9, height=14), "PNG"),
    "much larger": encoded(picture(width=900, height=401), "PNG"),
    "lossless webp": encoded(picture(), "WEBP", lossless=True),
    "bmp": encoded(picture(), "BMP"),
    "gif": encoded(picture(mode="P"), "GIF"),
    "animated gif": animated(),
}
REWRITTEN = {
    **{f"png, exif orientation {turn}": turned("PNG", turn) for turn in (3, 6)},
    **{f"webp, exif orientation {turn}": turned("WEBP", turn, lossless=True) for turn in range(2, 9)},
    "gif smaller than its screen": gif_on_screen((40, 30), (5, 7, 20, 10)),
    "gif beside its screen": gif_on_screen((40, 30), (35, 25, 20, 10)),
    "apng with a stand-in": apng_with_stand_in(picture(), [picture(mode="L").convert("RGB"), picture()]),
    "apng with a small frame": apng_with_stand_in(picture(), [picture(20, 10)], (5, 7)),
    "png without IEND": encoded(WIDE, "PNG")[:-12],
    "png cut short": encoded(WIDE, "PNG")[:-4000],
    "palette png cut short": encoded(WIDE.convert("P"), "PNG")[:-1000],
    "turned png cut short": turned("PNG", 6)[:-400],
    **oddly_coloured(),
}
CLOSE = {
    "alpha png": encoded(picture(mode="RGBA"), "PNG"),
    "jpeg": encoded(picture(), "JPEG", quality=95),
    **{f"exif orientation {turn}": turned("JPEG", turn, quality=95) for turn in range(2, 9)},
    **{f"avif, orientation {turn}": turned("AVIF", turn, quality=100) for turn in range(2, 9)},
    "jpeg without its end mark": encoded(WIDE, "JPEG", quality=95)[:-2],
    "jpeg cut short": encoded(WIDE, "JPEG", quality=95)[:-3000],
    "jpeg in CMYK cut short": encoded(WIDE.convert("CMYK"), "JPEG", quality=95)[:-3000],
    "jpeg that is grey below, without its end mark": encoded(grey_below(), "JPEG", quality=95)[:-2],
    "progressive jpeg cut short": encoded(WIDE, "JPEG", quality=95, progressive=True)[:-3000],
}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PREPROCESSES = [
    Preprocess(size=28, crop_pct=0.9, crop_mode="center", interpolation="bicubic", **IMAGENET),
    Preprocess(size=32, crop_pct=0.875, crop_mode="center", interpolation="bilinear", **IMAGENET),
    Preprocess(size=28, crop_pct=1.0, crop_mode="squash", interpolation="bicubic", **IMAGENET),
]
PREPARE = """async ([image, preprocess]) => {
  const at = (name) => new URL(`js/worker/image/${name}.js`, document.baseURI).href;
  const [{ decode }, { resizeAndCrop }] = await Promise.all([import(at('decode')), import(at('preprocess'))]);
  const bytes = Uint8Array.from(atob(image), (character) => character.charCodeAt(0));
  const { pixels, width, height } = await decode(new Blob([bytes]));
  return Array.from(resizeAndCrop(pixels, width, height, preprocess));
}"""


@pytest.fixture(scope="module")
def script_page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page from which the site's own modules can be imported, unbundled."""
    folder = tmp_path_factory.mktemp("scripts")
    shutil.copytree(SCRIPTS, folder / "js")
    (folder / "index.html").write_text("<!doctype html><title>scripts</title>")
    with serving(folder) as url, chromium.new_page() as page:
        page.goto(url)
        yield page


def prepare(page: Page, image: bytes, preprocess: Preprocess) -> np.ndarray:
    values = page.evaluate(PREPARE, [base64.b64encode(image).decode(), preprocess.to_json()])
    return np.array(values, np.int32).reshape(preprocess.size, preprocess.size, 3)


@pytest.mark.parametrize("preprocess", PREPROCESSES, ids=lambda one: f"{one.crop_mode} {one.interpolation}")
def test_preprocessing_equals_pythons(script_page: Page, preprocess: Preprocess) -> None:
    for name, image in (EXACT | REWRITTEN | CLOSE).items():
        expected = resize_and_crop(read_image(image), preprocess).astype(np.int32)
        difference = np.abs(prepare(script_page, image, preprocess) - expected)
        if name in EXACT | REWRITTEN:
            assert difference.max() == 0, name
        assert difference.mean() <= 0.5 and difference.max() <= 3, (name, difference.mean(), difference.max())


@pytest.fixture(scope="module")
def client(chromium: Browser, built_site: Path) -> Iterator[PageClient]:
    """The built page with the float variant loaded."""
    data = read_site_data(built_site)
    model = data["models"][0]
    (variant,) = [one for one in model["variants"] if one["id"] == "f32-tfjs"]
    with serving(built_site) as url, page_client(chromium, url, data) as client:
        client.load(model, variant, "wasm", 1)
        yield client


def test_whole_path_answers_as_pytorch_does(client: PageClient, artifacts: Path) -> None:
    from export.models.weights.float_artifact import read_model, run_model

    spec, module = read_model(artifacts / "fashion" / "f32" / "torch")
    (outputs,) = client.classify(list(EXACT.values()))
    inputs = np.stack([preprocess(read_image(image), spec.preprocess) for image in EXACT.values()])
    np.testing.assert_allclose(outputs, run_model(module, inputs), atol=1e-3)


@pytest.fixture
def opened(page: Page, site_url: str) -> Page:
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    expect(page.locator("#state")).to_contain_text("Ready")
    return page


def choose(page: Page, data: bytes, name: str = "picture") -> None:
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


@pytest.mark.faults("pictures")
def test_unusual_pictures_are_answered_with_what_was_done_to_them(opened: Page) -> None:
    for data, notice in (
        (animated(), "first frame"),
        (sixteen_bits(), "16 bits"),
        (encoded(picture(mode="CMYK"), "JPEG"), "CMYK"),
        (encoded(picture(mode="RGBA"), "PNG"), "transparent"),
    ):
        choose(opened, data)
        expect(opened.get_by_text(re.compile(notice))).to_be_visible()
        expect(opened.locator("#state")).to_contain_text("Most likely")
        expect(opened.get_by_role("list", name="most likely").get_by_role("listitem")).to_have_count(5)


@pytest.mark.faults("pictures")
def test_files_that_cannot_be_used_say_why_and_the_next_one_works(opened: Page) -> None:
    whole = encoded(picture(width=400, height=300), "PNG")
    for data, message in (
        (b"", "0 bytes"),
        (b"These are words, not a picture.\n" * 10, "not an image"),
        (b"<!doctype html><title>saved page</title>", "web page"),
        (whole[: len(whole) // 2], "is truncated"),
        (huge(), "100 megapixels"),
        (encoded(Image.new("1", (65_536, 2)), "PNG"), "65536×2 pixels; at most 65,000 a side"),
        (encoded(Image.new("1", (1, 70_000)), "PNG"), "at most 65,000 a side"),
    ):
        choose(opened, data)
        expect(opened.get_by_role("alert")).to_contain_text(message)
    choose(opened, whole)
    expect(opened.locator("#state")).to_contain_text("Most likely")
    expect(opened.get_by_role("alert")).to_be_hidden()
