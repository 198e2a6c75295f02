"""How many programs a GPU is told to run: fewer with the graph made for GPUs than with the stock conversion."""

from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from export.measuring.benchmark.gpu_dispatches import count_programs
from export.measuring.browser.chromium import launch
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import serving
from export.models.request import ModelRequest
from export.page.bundle import make_bundle
from export.page.render import render
from export.pipeline.build import make_formats
from export.pipeline.store import Store
from export.quantization.recipes import find_recipe

pytestmark = pytest.mark.browser

ROLES = {"u8-tfjs": ("tfjs", "shaped"), "u8-tfjs_stock": ("tfjs_stock", "stock")}
PICTURE = sorted((Path(__file__).parents[2] / "site/samples/fashion").glob("*.png"))[0]


@pytest.fixture(scope="module")
def site(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as TensorFlow.js runs it, shaped and as the stock converters make it."""
    pairs = tuple((find_recipe("u8"), format) for format in ("tfjs", "tfjs_stock"))
    make_formats(ModelRequest(model="fashion"), pairs, Store(artifacts), force=False)
    folder = tmp_path_factory.mktemp("programs") / "_site"
    render(
        artifacts=artifacts,
        models=["fashion"],
        recipes=["u8"],
        bundle=make_bundle(),
        measurements=None,
        out=folder,
        variants=set(ROLES),
    )
    return folder


def test_the_graph_for_gpus_takes_fewer_programs_than_the_stock_one(site: Path, playwright: Playwright) -> None:
    data = read_site_data(site)
    with launch(playwright, software_gpu=True) as browser, serving(site) as url:
        found = count_programs(browser, url, data, data["models"][0], ROLES, ("webgl", "webgpu"), PICTURE.read_bytes())
    counts = {(one.role, one.backend): one.count for one in found}
    for backend in ("webgl", "webgpu"):
        assert 100 < counts["tfjs", backend] < 0.9 * counts["tfjs_stock", backend]


def test_gpus_run_their_graph_and_the_page_is_told(site: Path, playwright: Playwright) -> None:
    data = read_site_data(site)
    builds = {}
    with launch(playwright, software_gpu=True) as browser, serving(site) as url:
        for backend in ("wasm", "webgl"):
            with page_client(browser, url, data) as client:
                for variant in data["models"][0]["variants"]:
                    loaded = client.load(data["models"][0], variant, backend, 1)
                    builds[variant["id"], backend] = loaded.get("build")
    assert builds == {
        ("u8-tfjs", "wasm"): None,
        ("u8-tfjs", "webgl"): "gpu",
        ("u8-tfjs_stock", "wasm"): None,
        ("u8-tfjs_stock", "webgl"): None,
    }
