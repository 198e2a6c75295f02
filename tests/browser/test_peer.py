"""transformers.js on our weights in a real Chromium, and how downloads are counted and pages slowed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page
from tiny import tiny

from export.core.errors import MeasurementError, RequestError
from export.core.figures.fidelity import sqnr_db
from export.data.preprocess import preprocess, read_image
from export.data.synthetic import pink_noise_image
from export.measuring.benchmark.peer.hub_folder import FLOAT, Q8, run_pixels
from export.measuring.benchmark.peer.page import blank_page, open_peer, peer_first_prediction, peer_latency
from export.measuring.benchmark.peer.site import CACHE, MODEL, MODELS, peer_site
from export.measuring.browser.network import throttle, throttle_network, transferred
from export.measuring.browser.server import serving
from export.measuring.browser.throttle import PROCESSES, throttle_cpu
from export.models.weights.float_artifact import read_model, run_model, write_model

pytestmark = pytest.mark.browser

SMALL, PHOTO = "small.png", "cat.jpg"
SAMPLES = Path("site/samples/imagenet")
BLOB = np.random.default_rng(0).bytes(200_000)  # which nothing can pack


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec, module, images = tiny("vit")
    folder = tmp_path_factory.mktemp("torch")
    write_model(spec, module, images[:4].numpy(), folder)
    return folder


@pytest.fixture(scope="module")
def site(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    small = tmp_path_factory.mktemp("images") / SMALL
    Image.fromarray(pink_noise_image(28, np.random.default_rng(1))).save(small)
    with peer_site(artifact, CACHE, images=[small, SAMPLES / PHOTO]) as folder:
        yield folder


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with serving(site) as url:
        yield url


def pixels(artifact: Path, image: Path) -> NDArray[np.float32]:
    return preprocess(read_image(image), read_model(artifact)[0].preprocess)


@pytest.mark.parametrize("build", ["asyncify", "plain"])
def test_first_answer_is_the_float_models(chromium: Browser, artifact: Path, site: Path, url: str, build: str) -> None:
    spec, module = read_model(artifact)
    logits = run_model(module, pixels(artifact, site / "images" / SMALL)[None])[0]
    expected = torch.softmax(torch.from_numpy(logits), 0)
    with blank_page(chromium) as page:
        found = peer_first_prediction(page, url, SMALL, dtype="fp32", build=build)
        assert found.label == spec.labels[int(expected.argmax())]
        assert found.score == pytest.approx(float(expected.max()), abs=1e-4)
        assert 0 < found.loaded_ms < found.first_prediction_ms
        answers = page.evaluate("(url) => peer.classify(url)", f"images/{SMALL}")
        order = expected.argsort(descending=True)[:5]
        assert [answer["label"] for answer in answers] == [spec.labels[int(index)] for index in order]


def test_default_is_q8_and_answers_as_the_same_file_does_here(chromium: Browser, site: Path, url: str) -> None:
    with blank_page(chromium) as page:
        with transferred(page) as transfers:
            open_peer(page, url, image=SMALL)
        seen = np.array(page.evaluate("(url) => peer.pixels(url)", f"images/{SMALL}"), np.float32)
        found = np.array([page.evaluate("(url) => peer.logits(url)", f"images/{SMALL}")], np.float32)
    files = {name.removeprefix(url) for name in transfers.bytes}
    model = f"{MODELS}/{MODEL}"
    assert f"{model}/{Q8}" in files and f"{model}/{FLOAT}" not in files
    assert "ort/ort-wasm-simd-threaded.asyncify.wasm" in files
    assert all(name.startswith(url) for name in transfers.bytes)
    expected = run_pixels(site / model / Q8, seen.reshape(1, 3, 28, 28))
    assert found.argmax() == expected.argmax()
    noise = sqnr_db(expected, found)
    assert noise is None or noise > 25


def test_pipeline_prepares_a_picture_about_as_we_do(chromium: Browser, artifact: Path, site: Path, url: str) -> None:
    with blank_page(chromium) as page:
        open_peer(page, url, build="plain")
        for name, most in ((SMALL, 1e-6), (PHOTO, 0.1)):  # one needs no scaling; a canvas scales a photo its own way
            found = np.array(page.evaluate("(url) => peer.pixels(url)", f"images/{name}"), np.float32)
            ours = pixels(artifact, site / "images" / name)
            assert np.abs(found.reshape(ours.shape) - ours).mean() <= most


def test_latency_has_the_samples_asked_for(chromium: Browser, site: Path) -> None:
    with serving(site, isolated=True) as url:
        for threads in (1, 2):
            found = peer_latency(chromium, url, SMALL, threads=threads, runs=4, warmup_max=2, build="plain")
            assert len(found.forward_ms) == len(found.whole_ms) == 4
            assert min(*found.forward_ms, *found.whole_ms) > 0


def test_threads_without_isolation_are_an_error(chromium: Browser, url: str) -> None:
    with pytest.raises(MeasurementError, match="1 threads, not 2"), blank_page(chromium) as page:
        open_peer(page, url, threads=2, build="plain")


def test_two_images_of_one_name_are_refused(artifact: Path) -> None:
    with pytest.raises(RequestError, match="same name"), peer_site(artifact, images=[SAMPLES / PHOTO] * 2):
        pass


@pytest.fixture
def downloads(tmp_path: Path) -> Iterator[str]:
    """A page whose worker can download too."""
    fetching = "async (url) => (await (await fetch(url)).arrayBuffer()).byteLength"
    (tmp_path / "blob.bin").write_bytes(BLOB)
    (tmp_path / "worker.js").write_text(f"onmessage = async ({{ data }}) => postMessage(await ({fetching})(data));")
    (tmp_path / "index.html").write_text(
        "<!doctype html><link rel=icon href=data:,><script>"
        f"const here = {fetching}; const worker = new Worker('worker.js');"
        "const there = (url) => new Promise((done) => {"
        "worker.onmessage = ({ data }) => done(data); worker.postMessage(url); });"
        "</script>"
    )
    with serving(tmp_path, compress=False) as url:
        yield url


def test_downloads_of_page_and_worker_are_counted(page: Page, downloads: str, tmp_path: Path) -> None:
    with transferred(page) as transfers:
        page.goto(downloads)
        assert page.evaluate("there('blob.bin?a')") == len(BLOB)
        assert page.evaluate("here('blob.bin?b')") == len(BLOB)
        assert page.evaluate("here('blob.bin?b')") == len(BLOB)  # from the cache
    sizes = {
        "": (tmp_path / "index.html").stat().st_size,
        "worker.js": (tmp_path / "worker.js").stat().st_size,
        "blob.bin?a": len(BLOB),
        "blob.bin?b": len(BLOB),
    }
    assert {name.removeprefix(downloads) for name in transfers.bytes} == set(sizes)
    for name, size in sizes.items():
        assert size < transfers.bytes[downloads + name] < size + 1000, name  # the answer's head beside it
    assert transfers.total == sum(transfers.bytes.values())


def test_slow_line_slows_page_and_worker(page: Page, downloads: str) -> None:
    timed = (
        "async ([get, url]) => { const begun = performance.now(); await get(url); return performance.now() - begun; }"
    )
    page.goto(downloads)

    def milliseconds(where: str, address: str) -> float:
        return float(page.evaluate(f"({timed})([{where}, '{address}'])"))

    for where in ("here", "there"):
        fast = milliseconds(where, f"blob.bin?{where}-fast")
        with throttle_network(page, mbit_per_s=1, latency_ms=20):
            slow = milliseconds(where, f"blob.bin?{where}-slow")
        assert slow > fast  # 1.6 s against what the machine gives
    with throttle(page, mbit_per_s=1, latency_ms=20, cpu_slowdown=2), transferred(page) as transfers:
        assert page.evaluate("here('blob.bin?both')") == len(BLOB)
    assert transfers.total > len(BLOB)


def renderers() -> dict[int, str]:
    """Return the state of every page's process of this machine: T is stopped."""
    found = {}
    for place in PROCESSES.glob("[0-9]*"):
        try:
            if b"--type=renderer" in (place / "cmdline").read_bytes():
                found[int(place.name)] = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
    return found


def test_slow_processor_stops_pages_in_turn_and_leaves_them_running(
    chromium: Browser, page: Page, downloads: str
) -> None:
    page.goto(downloads)
    before = renderers()
    states: set[bool] = set()
    with throttle_cpu(chromium, 4):
        for _ in range(10_000):
            states |= {state == "T" for process, state in renderers().items() if process in before}
            if states == {True, False}:
                break
        assert page.evaluate("here('blob.bin')") == len(BLOB)
    assert states == {True, False}
    assert not [process for process, state in renderers().items() if process in before and state == "T"]
    with pytest.raises(RequestError, match="below 1"), throttle_cpu(chromium, 0.5):
        pass
