"""The page on our own engine: the answers of the same file in Node, with and without threads, and what it downloads."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from export.conversion.engine.compile import BUILDS, MOST_BYTES, make_engine
from export.conversion.engine.export import FILE
from export.conversion.engine.run import run_vit
from export.core.errors import MeasurementError
from export.data.preprocess import preprocess, read_image
from export.measuring.browser.chromium import Troubles
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import serving
from export.quantization.integer_file import load_quantized

pytestmark = pytest.mark.browser

SAMPLES = sorted((Path(__file__).parents[2] / "site/samples/fashion").glob("*.png"))[:3]
# The second one's weights leave room for sums in 16 bits, which machines without VNNI are fast with.
RECIPES = {"w8_dynamic": ("relaxed", "plain"), "w4_dynamic": ("relaxed", "pairs", "plain")}
Outputs = NDArray[np.float32]


@pytest.fixture(scope="module")
def vit_site(build_page: Callable[..., Path]) -> Path:
    return build_page(",".join(RECIPES))


@pytest.fixture(scope="module")
def expected(vit_site: Path, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outputs]:
    """What each recipe's file answers in Node to the pictures as Python prepares them."""
    found, scratch = {}, tmp_path_factory.mktemp("node")
    for recipe in RECIPES:
        folder = artifacts / "fashion" / recipe
        spec = load_quantized(folder / "safetensors/model.safetensors").spec
        inputs = np.stack([preprocess(read_image(path), spec.preprocess) for path in SAMPLES])
        found[recipe] = run_vit(folder / "vit" / FILE, inputs, make_engine(), scratch, scratch / "log")
    return found


def classified(
    chromium: Browser, url: str, site: Path, recipe: str, threads: int
) -> tuple[dict[str, Any], Outputs, list[str]]:
    """Return what loading said, the pictures' outputs, and the names of the WebAssembly files asked for."""
    data, asked = read_site_data(site), []
    (model,) = data["models"]
    (variant,) = (variant for variant in model["variants"] if variant["id"] == f"{recipe}-vit")
    assert variant["compute_dtype"] == "int8" and variant["storage_dtype"] == f"int{recipe[1]}"
    with page_client(chromium, url, data) as client:
        client.page.context.on("request", lambda request: asked.append(request.url.split("/")[-1]))
        loaded = client.load(model, variant, "wasm", threads, batch=threads)
        outputs = np.concatenate(list(client.classify([path.read_bytes() for path in SAMPLES])))
    return loaded, outputs, [name for name in asked if name.endswith(".wasm")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_page_answers_bit_for_bit_as_the_file_does_in_node(
    recipe: str, vit_site: Path, expected: dict[str, Outputs], chromium: Browser
) -> None:
    with serving(vit_site) as url:
        loaded, outputs, wasm = classified(chromium, url, vit_site, recipe, 1)
        assert np.array_equal(outputs, expected[recipe])
        assert (loaded["backend"], loaded["threads"], loaded["threads_reason"]) == ("wasm", 1, "")
        assert loaded["build"] in RECIPES[recipe]
        assert len(wasm) == 1 and re.match(rf"vit-{loaded['build']}\.", wasm[0])
        loaded, outputs, wasm = classified(chromium, url, vit_site, recipe, 2)
        assert np.array_equal(outputs, expected[recipe])
        assert loaded["threads"] == 1 and "not cross-origin isolated" in loaded["threads_reason"]
        assert len(wasm) == 1 and "threads" not in wasm[0]


@pytest.mark.parametrize("recipe", RECIPES)
def test_threads_of_an_isolated_page_change_no_bit(
    recipe: str, vit_site: Path, expected: dict[str, Outputs], chromium: Browser
) -> None:
    with serving(vit_site, isolated=True) as url:
        for threads in (2, 3, 1):
            loaded, outputs, wasm = classified(chromium, url, vit_site, recipe, threads)
            assert (loaded["threads"], loaded["threads_reason"]) == (threads, "")
            assert np.array_equal(outputs, expected[recipe])
            assert len(set(wasm)) == 1 and ("threads" in wasm[0]) == (threads > 1)


def test_of_several_pictures_one_that_is_none_is_named(vit_site: Path, chromium: Browser) -> None:
    data = read_site_data(vit_site)
    with serving(vit_site, isolated=True) as url, page_client(chromium, url, data) as client:
        (model,) = data["models"]
        client.load(model, model["variants"][0], "wasm", 2, batch=2)
        picture = SAMPLES[0].read_bytes()
        with pytest.raises(MeasurementError, match="Image 2: "):
            list(client.classify([picture, b"no picture", picture]))
        ((alone,),) = client.classify([picture])
        ((first, second, third),) = client.classify([picture, picture, picture])
        assert np.array_equal(first, alone) and np.array_equal(second, alone) and np.array_equal(third, alone)


def test_the_builds_are_small_and_all_there(vit_site: Path) -> None:
    found = {path.name: path.stat().st_size for path in vit_site.rglob("vit-*.wasm")}
    stems = [build.name.removesuffix(".wasm") for build in BUILDS]
    assert len(found) == len(stems)
    assert all(any(name.startswith(stem) for name in found) for stem in stems)
    assert max(found.values()) <= MOST_BYTES


def open_page(page: Page, url: str) -> None:
    page.goto(f"{url}#variant=w8_dynamic-vit&backend=wasm")
    expect(page.locator("#state")).to_contain_text("Ready")


@pytest.mark.parametrize("isolated", [False, True], ids=["plain", "isolated"])
def test_a_sample_is_classified_and_measured(page: Page, vit_site: Path, isolated: bool) -> None:
    with serving(vit_site, isolated=isolated) as url:
        open_page(page, url)
        page.get_by_role("button", name="Sample: Bag").click()
        expect(page.locator("#state")).to_contain_text(re.compile(r"Most likely: .+, \d+\.\d\s%"))
        expect(page.locator("#device")).to_contain_text(
            re.compile("Threads" if isolated else "not cross-origin isolated")
        )
        ranking = page.get_by_role("list", name="most likely").get_by_role("listitem")
        first = ranking.all_text_contents()
        page.get_by_role("button", name="Measure", exact=True).click()
        expect(page.locator("#state")).to_contain_text("Measured: a median of")
        expect(page.locator("#device")).not_to_contain_text("test whether fewer are faster")
        page.get_by_role("button", name="Sample: Dress").click()
        page.get_by_role("button", name="Sample: Bag").click()
        expect(page.get_by_role("img", name="Your image: Bag")).to_be_visible()
        expect(ranking).to_have_text(first)


def test_an_engine_that_is_not_there_is_named(page: Page, troubles: Troubles, vit_site: Path, tmp_path: Path) -> None:
    troubles.expect("404")
    site = tmp_path / "_site"
    shutil.copytree(vit_site, site)
    for path in site.rglob("vit-*.wasm"):
        path.unlink()
    with serving(site) as url:
        open_page(page, url)
        page.get_by_role("button", name=re.compile("^Load")).click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(re.compile(r"status 404 for the engine's vit-(plain|pairs|relaxed)\.wasm"))
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
