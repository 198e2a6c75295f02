"""LiteRT.js and ONNX Runtime Web on a real page: they answer as in Python, fail readably, and come only when chosen."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, expect

from export.conversion.litert.integers import run_tflite
from export.conversion.onnx.export import run_onnx
from export.core.errors import MeasurementError
from export.core.records import Preprocess
from export.data.preprocess import preprocess, read_image
from export.measuring.browser.page_client import PageClient, page_client, read_site_data
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest

pytestmark = pytest.mark.browser

PICTURES = sorted((Path(__file__).parents[2] / "site/samples/fashion").glob("*.png"))[:4]
ENGINES = {"litert": "model.tflite", "ort": "model.onnx"}
VARIANTS = (*((recipe, format) for recipe in ("w8_dynamic", "w8_rtn") for format in ("tflite", "qdq")), ("u8", "tfjs"))
ROUNDING_DB = 30  # a last bit makes an activation fall on the next level; weights alone give 100 and more


@pytest.fixture(scope="module")
def site(render_variants: Callable[..., Path], tiny_model: ModelRequest) -> Path:
    """A tiny model as LiteRT and ONNX Runtime run it, in integers and with weights alone, and as TF.js does."""
    return render_variants(*VARIANTS, model=tiny_model)


@pytest.fixture(scope="module")
def data(site: Path) -> dict[str, Any]:
    return read_site_data(site)


@pytest.fixture(scope="module")
def isolated(site: Path) -> Iterator[str]:
    with serving(site, isolated=True) as url:
        yield url


@pytest.fixture(scope="module")
def expected(artifacts: Path, data: dict[str, Any], tiny_model: ModelRequest) -> dict[str, Any]:
    """What the runtimes answer in Python, by variant."""
    preprocessing = Preprocess.from_json(data["models"][0]["preprocess"])
    inputs = np.stack([preprocess(read_image(path), preprocessing) for path in PICTURES])
    answers = {}
    for recipe in ("w8_dynamic", "w8_rtn"):
        folder = artifacts / tiny_model.name / recipe
        answers[f"{recipe}-qdq"] = run_onnx(folder / "qdq/model.onnx", inputs)
        answers[f"{recipe}-tflite"] = run_tflite(folder / "tflite/model.tflite", inputs)
    return answers


def variant_of(data: dict[str, Any], engine: str, recipe: str = "w8_dynamic") -> dict[str, Any]:
    (found,) = (one for one in data["models"][0]["variants"] if (one["engine"], one["recipe"]) == (engine, recipe))
    return dict(found)


def classify(client: PageClient) -> NDArray[np.float32]:
    return np.concatenate(list(client.classify([path.read_bytes() for path in PICTURES])))


def sqnr_db(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(reference).sum() / (np.square(reference - found).sum() + 1e-30)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("recipe", ["w8_dynamic", "w8_rtn"])
@pytest.mark.parametrize("engine", ENGINES)
def test_answers_as_in_python(
    isolated: str,
    data: dict[str, Any],
    expected: dict[str, Any],
    chromium: Browser,
    engine: str,
    recipe: str,
    threads: int,
) -> None:
    variant = variant_of(data, engine, recipe)
    assert variant["compute_dtype"] == ("int8" if recipe == "w8_dynamic" else "float32")
    with page_client(chromium, isolated, data) as client:
        assert [one["name"] for one in client.backends(engine) if one["available"]] == ["wasm"]
        loaded = client.load(data["models"][0], variant, "wasm", threads)
        assert (loaded["backend"], loaded["threads"], loaded["threads_reason"]) == ("wasm", threads, "")
        found = classify(client)
        again = classify(client)
    reference = expected[variant["id"]]
    assert sqnr_db(reference, found) >= (ROUNDING_DB if recipe == "w8_dynamic" else 100)
    np.testing.assert_array_equal(found.argmax(1), reference.argmax(1))
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("engine", ENGINES)
def test_webgpu_answers_right_or_says_that_it_cannot(
    site: Path, data: dict[str, Any], expected: dict[str, Any], software_gpu: Browser, engine: str
) -> None:
    variant = variant_of(data, engine)
    with serving(site) as url:
        with page_client(software_gpu, url, data) as client:
            states = {one["name"]: one for one in client.backends(engine)}
            assert states["webgpu"]["available"] and "software" in states["webgpu"]["reason"]
            try:
                loaded = client.load(data["models"][0], variant, "webgpu", 1)
            except MeasurementError as error:
                honest = (
                    "cannot run this model on WebGPU: .*backend_unavailable",
                    "fails the self-test on this device.*wrong_result",
                )
                assert re.search("|".join(honest), str(error), re.DOTALL)
                return
            assert "runs on the GPU" in loaded["threads_reason"]
            found = classify(client)
        assert sqnr_db(expected[variant["id"]], found) >= ROUNDING_DB


@pytest.mark.parametrize("engine", ENGINES)
def test_without_isolation_there_is_one_thread_and_the_reason(
    site: Path, data: dict[str, Any], chromium: Browser, engine: str
) -> None:
    with serving(site) as url, page_client(chromium, url, data) as client:
        loaded = client.load(data["models"][0], variant_of(data, engine), "wasm", 2)
    assert loaded["threads"] == 1 and "not cross-origin isolated" in loaded["threads_reason"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("damage", ["rubbish", "half", "empty"])
def test_broken_model_is_told(
    site: Path, data: dict[str, Any], chromium: Browser, tmp_path: Path, engine: str, damage: str
) -> None:
    copied = shutil.copytree(site, tmp_path / "site", copy_function=os.link)
    variant = variant_of(data, engine)
    path = copied / variant["folder"] / ENGINES[engine]
    whole = path.read_bytes()
    body = {"rubbish": b"rubbish" * 999, "half": whole[: len(whole) // 2], "empty": b" "}[damage]
    path.unlink()
    path.write_bytes(body)
    others = [file for file in variant["files"] if file["path"] != ENGINES[engine]]
    record = {"path": ENGINES[engine], "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    variant |= {"files": [*others, record]}
    with serving(copied) as url, page_client(chromium, url, data) as client:
        with pytest.raises(MeasurementError, match=r"cannot run this model[\s\S]*\[bad_model\]"):
            client.load(data["models"][0], variant, "wasm", 1)
        with pytest.raises(MeasurementError, match="not_loaded"):
            classify(client)


@pytest.mark.parametrize(
    ("engine", "missing", "code"),
    [
        ("ort", "ort-wasm-simd-threaded.*.wasm", "http_error"),
        ("ort", "ort-wasm-simd-threaded.*.js", "http_error"),
        ("ort", "ort_worker.*.js", "network_lost"),
        ("litert", "litert_wasm_internal.*.wasm", "http_error"),
        ("litert", "litert_wasm_internal.*.js", "http_error"),
        ("litert", "litert_worker.*.js", "network_lost"),
        ("litert", "litert.*.js", "network_lost"),
    ],
)
def test_missing_file_of_an_engine_is_told(
    site: Path, data: dict[str, Any], context: BrowserContext, tmp_path: Path, engine: str, missing: str, code: str
) -> None:
    copied = shutil.copytree(site, tmp_path / "site", copy_function=os.link)
    removed = list((copied / "assets").glob(missing))
    assert removed
    for path in removed:
        path.unlink()
    with serving(copied) as url:
        page = context.new_page()
        page.goto(url + "method.html")
        client = PageClient(page, url, data)
        with pytest.raises(MeasurementError, match=rf"engine.*\[{code}\]"):
            client.load(data["models"][0], variant_of(data, engine), "wasm", 1)


ABORT = """async ([model, variant, base]) => {
  const controller = new AbortController();
  const phases = [];
  const loading = globalThis.measured[0].load({ model, variant, base, backend: 'wasm', threads: 1 }, {
    signal: controller.signal,
    onProgress: ({ phase }) => {
      phases.push(phase);
      if (phase === 'compile') controller.abort();
    },
  });
  return [await loading.then(() => 'loaded', ({ code }) => code), phases.at(-1)];
}"""


@pytest.mark.parametrize("engine", ENGINES)
def test_cancelled_start_leaves_nothing_behind(
    isolated: str, data: dict[str, Any], expected: dict[str, Any], chromium: Browser, engine: str
) -> None:
    variant = variant_of(data, engine)
    with page_client(chromium, isolated, data) as client:
        ended = client.page.evaluate(ABORT, [data["models"][0], variant, isolated])
        assert ended == ["aborted", "compile"]
        client.load(data["models"][0], variant, "wasm", 1)
        assert sqnr_db(expected[variant["id"]], classify(client)) >= ROUNDING_DB


def test_engines_take_turns_with_any_number_of_threads(
    isolated: str, data: dict[str, Any], expected: dict[str, Any], chromium: Browser
) -> None:
    with page_client(chromium, isolated, data) as client:
        for engine, threads in (("ort", 2), ("litert", 1), ("ort", 1), ("litert", 2), ("litert", 1)):
            variant = variant_of(data, engine)
            loaded = client.load(data["models"][0], variant, "wasm", threads)
            assert loaded["threads"] == threads
            assert sqnr_db(expected[variant["id"]], classify(client)) >= ROUNDING_DB
            assert len(client.benchmark(3, 3)) == 3


def test_only_the_chosen_engine_is_downloaded(site: Path, data: dict[str, Any], context: BrowserContext) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))

    def of(prefix: str) -> list[str]:
        return [name for name in asked if name.startswith(prefix)]

    with serving(site) as url:
        page = context.new_page()
        page.goto(url)
        expect(page.locator("#state")).to_contain_text("Ready")
        assert not [name for name in asked if "wasm" in name or "_worker" in name]  # nothing is chosen yet
        page.goto(url + "method.html")
        asked.clear()
        client = PageClient(page, url, data)
        client.load(data["models"][0], variant_of(data, "tfjs", "u8"), "wasm", 1)
        assert of("tfjs") and not of("ort") and not of("litert")
        client.load(data["models"][0], variant_of(data, "litert"), "wasm", 1)
        assert {name.split(".")[0] for name in of("litert")} == {"litert", "litert_worker", "litert_wasm_internal"}
        assert not of("ort")
        client.load(data["models"][0], variant_of(data, "ort"), "wasm", 1)
        assert of("ort-wasm-simd-threaded") and not [name for name in asked if "asyncify" in name or "webgpu" in name]
        assert len({name for name in asked if name.endswith(".wasm")}) == 3
