"""GPU dispatches per inference: fewer with the graph rewritten for GPUs than with the stock conversion."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sharing import one_at_a_time, share_bundle

from export.measuring.benchmark.gpu_dispatches import count_dispatches
from export.measuring.benchmark.site import BenchmarkSite, build_benchmark_site
from export.measuring.benchmark.targets import GPU_BACKENDS, TARGETS
from export.measuring.browser.page_client import page_client
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest

pytestmark = pytest.mark.browser

TFJS = [target for target in TARGETS if target.name in ("tfjs", "tfjs_stock")]
PICTURE = sorted((Path(__file__).parents[2] / "site/samples/fashion").glob("*.png"))[0]


@pytest.fixture(scope="module")
def site(tiny_model: ModelRequest, artifacts: Path) -> BenchmarkSite:
    """The tiny model as TensorFlow.js runs it, rewritten and as the stock converters make it."""
    share_bundle()
    with one_at_a_time(tiny_model.name):
        return build_benchmark_site(tiny_model, TFJS, artifacts)


def test_the_graph_for_gpus_takes_fewer_dispatches_than_the_stock_one(
    site: BenchmarkSite, software_gpu: Browser
) -> None:
    with serving(site.folder) as url:
        counted = count_dispatches(software_gpu, url, site, TFJS, PICTURE.read_bytes())
    counts = {(one.role, one.backend): one.count for one in counted}
    for backend in GPU_BACKENDS:
        assert 30 < counts["tfjs", backend] < 0.9 * counts["tfjs_stock", backend]


def test_gpus_run_their_graph_and_the_page_is_told(site: BenchmarkSite, software_gpu: Browser) -> None:
    builds = {}
    with serving(site.folder) as url:
        for backend in ("wasm", "webgl"):
            with page_client(software_gpu, url, site.data) as client:
                for variant in site.model["variants"]:
                    loaded = client.load(site.model, variant, backend, 1)
                    builds[variant["id"], backend] = loaded.get("build")
    assert builds == {
        ("u8-tfjs", "wasm"): None,
        ("u8-tfjs", "webgl"): "gpu",
        ("u8-tfjs_stock", "wasm"): None,
        ("u8-tfjs_stock", "webgl"): None,
    }
