"""Native runtimes and the page in Chromium are timed in one run, and compared as ratios."""

from pathlib import Path

import pytest
from sharing import one_at_a_time, share_bundle

from export.compare import main
from export.page.reports.comparison.records import read_comparison

pytestmark = pytest.mark.browser


def test_native_runtimes_beside_the_browser(artifacts: Path, tmp_path: Path) -> None:
    options = ["--recipe", "f32", "--peers", "--limit", "4", "--rounds", "2", "--workers", "1"]
    share_bundle()
    with one_at_a_time("fashion"):
        main([*options, "--artifacts", str(artifacts), "--out", str(tmp_path)])
    (model,) = read_comparison(tmp_path / "comparison.json").models
    peers = {(peer.runtime, peer.threads): peer for peer in model.peers}
    by_where = {where: [peer for peer in peers.values() if peer.where == where] for where in ("native", "browser")}
    assert {peer.runtime for peer in by_where["browser"]} == {"`vit`, w8a8_gptq-vit"}
    assert {peer.runtime for peer in by_where["native"]} == {
        "PyTorch, float32",
        "PyTorch, int8 by torchao_dynamic",
        "PyTorch, int8 by torch_ao_dynamic",
        "ONNX Runtime, float32",
        "ONNX Runtime, int8, dynamic",
        "ONNX Runtime, int8, static",
    }
    native = peers["ONNX Runtime, int8, static", 1]
    assert native.latency_ms.n == 2 and native.sqnr_db is not None and native.sqnr_db > 5  # what it makes of a ViT
    float_one = peers["ONNX Runtime, float32", 1]
    assert float_one.bytes is not None and native.bytes is not None and native.bytes < float_one.bytes / 2
    assert min(peer.ratio for peer in by_where["native"] if "int8" in peer.runtime and peer.threads == 1) == 1.0
    vit = by_where["browser"][0]
    fastest = vit.latency_ms.value / vit.ratio
    assert any(abs(peer.latency_ms.value - fastest) < 1e-9 for peer in by_where["native"])
    assert (tmp_path / "runtimes_fashion.svg").is_file() and (tmp_path / "runtimes.csv").is_file()
