"""The self-test on the real page: a right back end passes, a wrong one is refused by name and the next one taken."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from safetensors.numpy import load_file, save

from export.core.errors import WrongAnswersError
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import serving
from export.page.results_view import LATENCY, read_measurements

pytestmark = pytest.mark.browser

BAG = "Bag"  # of the embedded model's samples; the others are the tiny model's
CAT, COFFEE = "Chelsea the cat", "A cup of coffee"
LOG2_E, OTHER = np.float32(1.442695), np.float32(-1.442695)  # of the exponential function in WebAssembly


def with_wrong_exponential(site: Path, folder: Path, builds_of: str = "tfjs-backend-wasm-") -> Path:
    """Return a copy of a site whose wasm back end has a wrong operator, as a driver may have: softmax is off."""
    copy = folder / "wrong_wasm"
    shutil.copytree(site, copy)
    builds = list((copy / "assets").glob(f"{builds_of}*.wasm"))
    for path in builds:
        code = path.read_bytes()
        assert LOG2_E.tobytes() in code
        _publish(copy, path, code.replace(LOG2_E.tobytes(), OTHER.tobytes()))
    assert builds
    return copy


def _publish(site: Path, path: Path, code: bytes) -> None:
    """Put other bytes in a file's place, under the name that they would be published by."""
    stem, hashed, ending = path.name.rsplit(".", 2)
    name = f"{stem}.{hashlib.sha256(code).hexdigest()[: len(hashed)]}.{ending}"
    path.with_name(name).write_bytes(code)
    path.unlink()
    for script in path.parent.glob("*.js"):
        script.write_text(script.read_text().replace(path.name, name))


def with_other_reference(site: Path, folder: Path) -> Path:
    """Return a copy of a site whose reference images have each other's logits; the hashes fit."""
    copy = folder / "wrong_reference"
    shutil.copytree(site, copy)
    record = read_site_data(copy)["models"][0]["selftest"]
    path = copy / record["folder"] / record["path"]
    tensors = load_file(path)
    path.write_bytes(save({**tensors, "logits": np.ascontiguousarray(np.roll(tensors["logits"], 1, axis=0))}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    index = copy / "index.html"
    html = index.read_text()
    assert record["sha256"] in html
    index.write_text(html.replace(record["sha256"], sha256))
    return copy


@pytest.fixture
def wrong_wasm(tiny_site: Path, tmp_path: Path) -> Path:
    return with_wrong_exponential(tiny_site, tmp_path)


@pytest.fixture
def wrong_wasm_url(wrong_wasm: Path) -> Iterator[str]:
    with serving(wrong_wasm) as url:
        yield url


@pytest.fixture
def wrong_reference_url(tiny_site: Path, tmp_path: Path) -> Iterator[str]:
    with serving(with_other_reference(tiny_site, tmp_path)) as url:
        yield url


def classify(page: Page, url: str, choice: str, sample: str = CAT) -> None:
    page.goto(f"{url}#{choice}")
    expect(state(page)).to_contain_text("Ready")
    page.get_by_role("button", name=f"Sample: {sample}").click()


def state(page: Page) -> Locator:
    return page.locator("#state")


@pytest.mark.parametrize("backend", ["wasm", "cpu", "webgl", "webgpu"])
def test_right_back_end_passes(software_gpu: Browser, tiny_site: Path, backend: str) -> None:
    data = read_site_data(tiny_site)
    model = data["models"][0]
    with serving(tiny_site) as url, page_client(software_gpu, url, data) as client:
        for variant in model["variants"]:
            found = client.load(model, variant, backend, 1)["selftest"]
            assert found["passed"] and 2 <= found["n"] <= 8
            assert found["agreement"] == sum(variant["selftest"]["agrees"][: found["n"]])
            assert found["max_abs_diff"] <= variant["selftest"]["max_abs_diff"] + 0.01 < found["allowed"]


def test_result_is_shown(page: Page, site_url: str) -> None:
    classify(page, site_url, "variant=u8-tfjs&backend=wasm", BAG)
    expect(state(page)).to_contain_text("Most likely")
    expect(page.locator("#device")).to_contain_text(
        re.compile(r"Self-test.*same top-1 on \d of \d reference images, max abs difference 0\.\d+")
    )
    expect(page.locator("#refusals")).to_be_hidden()


@pytest.mark.faults("runtimes")
@pytest.mark.parametrize("choice", ["variant=f32-tfjs", "variant=f32-tfjs&backend=wasm"])
def test_wrong_back_end_is_refused_by_name_and_the_next_one_taken(page: Page, wrong_wasm_url: str, choice: str) -> None:
    classify(page, wrong_wasm_url, choice)
    refusals = page.locator("#refusals")
    expect(refusals).to_contain_text(
        re.compile(
            r"“wasm” fails the self-test on this device: same top-1 on \d of \d reference images, max abs difference "
            r"[\d.]+, allowed [\d.]+. JavaScript \(CPU\) is used instead"
        )
    )
    expect(state(page)).to_contain_text("Most likely")
    expect(page.get_by_role("radio", name="JavaScript (CPU)")).to_be_checked()
    wasm = page.get_by_role("radio", name="WebAssembly (CPU)")
    expect(wasm).to_be_disabled()
    expect(wasm).to_have_accessible_description(re.compile("Not available: .*fails the self-test"))
    expect(page.locator("#device")).to_contain_text("cpu")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_role("button", name=f"Sample: {COFFEE}").click()
    expect(page.get_by_role("img", name=f"Your image: {COFFEE}")).to_be_visible()
    expect(state(page)).to_contain_text("Most likely")
    page.get_by_role("radio", name=re.compile("8-bit")).check()
    expect(refusals).to_be_hidden()  # another variant is tested by itself


@pytest.fixture(scope="module")
def two_engines(build_page: Callable[..., Path]) -> Path:
    """The page with one recipe for two engines, each with back ends of its own."""
    return build_page("w8_dynamic", "vit", "ort")


@pytest.mark.faults("runtimes")
def test_engine_that_is_wrong_makes_place_for_another_with_the_same_numbers(
    page: Page, two_engines: Path, tmp_path: Path
) -> None:
    with serving(with_wrong_exponential(two_engines, tmp_path, "vit-")) as url:
        classify(page, url, "variant=w8_dynamic-vit", BAG)
        expect(page.locator("#refusals")).to_contain_text(
            re.compile(
                r"“wasm” fails the self-test on this device.* ONNX Runtime Web on WebAssembly \(CPU\) is used instead"
            )
        )
        expect(state(page)).to_contain_text("Most likely")
        expect(page.locator("#device")).to_contain_text("w8_dynamic-qdq")
        expect(page.get_by_role("radio", name=re.compile("w8_dynamic-qdq"))).to_be_checked()


def test_without_a_right_back_end_there_is_no_answer(page: Page, wrong_reference_url: str) -> None:
    classify(page, wrong_reference_url, "variant=u8-tfjs&backend=wasm")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile("“cpu” fails the self-test on this device.*No other backend is left"))
    expect(page.locator("#refusals")).to_contain_text("“wasm” fails the self-test on this device")
    assert set(page.locator("#ranking .label").all_inner_texts()) == {"–"}
    page.get_by_role("button", name="Try again").click()
    expect(alert).to_contain_text("No other backend is left")
    expect(page.locator("#single-run")).to_be_empty()


def test_client_is_told_by_name(chromium: Browser, wrong_wasm: Path) -> None:
    data = read_site_data(wrong_wasm)
    model = data["models"][0]
    with (
        serving(wrong_wasm) as url,
        page_client(chromium, url, data) as client,
        pytest.raises(WrongAnswersError, match=r"“wasm” fails the self-test on this device: .* reference images"),
    ):
        client.load(model, model["variants"][0], "wasm", 1)


def test_figures_of_a_wrong_back_end_are_skipped_with_a_warning(wrong_wasm: Path, tmp_path: Path) -> None:
    out = tmp_path / "measurements.json"
    command = [sys.executable, "-m", "export.measure", "--no-render", "--site", str(wrong_wasm), "--out", str(out)]
    few = ["--variant", "u8-tfjs", "--rounds", "1", "--runs", "3", "--limit", "0"]
    done = subprocess.run([*command, *few, "--backend", "wasm,cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"u8-tfjs on wasm, Chromium [^:]*: skipped, .*“wasm” fails the self-test", done.stdout)
    file = read_measurements(out)
    assert file and {one.backend for one in file.measurements if one.metric == LATENCY} == {"cpu"}
    out.unlink()
    done = subprocess.run([*command, *few, "--backend", "wasm"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nothing that was selected could be measured" in done.stderr
    assert "Traceback" not in done.stderr and not out.exists()


def test_site_data_carry_what_the_test_needs(built_site: Path) -> None:
    for model in read_site_data(built_site)["models"]:
        record = model["selftest"]
        blob = (built_site / record["folder"] / record["path"]).read_bytes()
        assert (len(blob), hashlib.sha256(blob).hexdigest()) == (record["bytes"], record["sha256"])
        assert record["bytes"] <= 20_000 and record["sha256"][:10] in record["path"]
        for variant in model["variants"]:
            assert json.dumps(variant["selftest"]) and len(variant["selftest"]["agrees"]) == 8
