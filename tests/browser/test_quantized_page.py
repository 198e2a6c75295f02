"""A recipe that quantizes, in the page: its packed integers are decoded in the browser and answer as in PyTorch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from export.data.preprocess import preprocess, read_image
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest
from export.models.weights.float_artifact import run_model
from export.quantization.calibration.assemble import dequantized
from export.quantization.integer_file import load_quantized

pytestmark = pytest.mark.browser

SAMPLES = Path(__file__).parents[2] / "site/samples/fashion"


@pytest.fixture(scope="module")
def quantized_site(build_page: Callable[..., Path], tiny_model: ModelRequest) -> Path:
    return build_page("w4_rtn", model=tiny_model)


def test_packed_weights_answer_in_the_browser_as_in_pytorch(
    quantized_site: Path, tiny_model: ModelRequest, artifacts: Path, chromium: Browser
) -> None:
    loaded = load_quantized(artifacts / tiny_model.name / "w4_rtn/safetensors/model.safetensors")
    pictures = sorted(SAMPLES.glob("*.png"))[:4]
    inputs = np.stack([preprocess(read_image(path), loaded.spec.preprocess) for path in pictures])
    expected = run_model(dequantized(loaded.module), inputs)
    data = read_site_data(quantized_site)
    (model,) = data["models"]
    (variant,) = model["variants"]
    assert (variant["id"], variant["storage_dtype"], variant["compute_dtype"]) == ("w4_rtn-tfjs", "int4", "float32")
    assert variant["bytes"] < 0.65 * model["parameters"]  # four bits a weight, scales and the graph
    with serving(quantized_site) as url, page_client(chromium, url, data) as client:
        client.load(model, variant, "wasm", 1)
        found = np.concatenate(list(client.classify([path.read_bytes() for path in pictures])))
    assert np.abs(found - expected).max() < 1e-3
