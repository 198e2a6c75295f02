"""What the server sends is what a browser needs: modules, streamed wasm, isolation, sub-paths."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from export.measuring.browser.chromium import Troubles
from export.measuring.browser.server import serving

pytestmark = pytest.mark.browser

# A module with one function, padded by a custom section so that packing pays.
WASM = bytes([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0]) + bytes(
    [10, 6, 1, 4, 0, 65, 42, 11, 0, 0x82, 0x10, 1, 112, *[0] * 2048]
)
LOADED = """async () => {
  const { name } = await import(new URL('assets/module.js', document.baseURI));
  const { instance } = await WebAssembly.instantiateStreaming(fetch('assets/engine.wasm'));
  const shard = await fetch('assets/shard.bin');
  const length = (await shard.arrayBuffer()).byteLength;
  return { name, answer: instance.exports.f(), length, isolated: crossOriginIsolated,
           wire: Number(shard.headers.get('Content-Length')) };
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text('<!doctype html><link rel="icon" href="data:,"><title>front</title>')
    (tmp_path / "404.html").write_text("<!doctype html><title>not here</title>")
    (tmp_path / "assets" / "module.js").write_text("export const name = 'module';")
    (tmp_path / "assets" / "engine.wasm").write_bytes(WASM)
    (tmp_path / "assets" / "shard.bin").write_bytes(bytes(50_000))
    return tmp_path


@pytest.mark.parametrize("isolated", [False, True], ids=["plain", "isolated"])
@pytest.mark.parametrize("base_path", ["/", "/repo/"])
def test_scripts_wasm_and_weights_load(page: Page, folder: Path, base_path: str, isolated: bool) -> None:
    with serving(folder, base_path=base_path, isolated=isolated) as url:
        page.goto(url.rstrip("/"))  # redirected to the folder's own address
        assert page.url == url
        loaded = page.evaluate(LOADED)
    assert loaded["name"] == "module" and loaded["answer"] == 42
    assert loaded["isolated"] is isolated
    assert loaded["length"] == 50_000 > 100 * loaded["wire"]  # sent packed: its length is no measure of progress


def test_missing_file_is_a_page(page: Page, folder: Path, troubles: Troubles) -> None:
    troubles.expect("404")
    with serving(folder) as url:
        answer = page.goto(url + "assets/missing.bin")
        assert answer is not None and answer.status == 404
        assert page.title() == "not here"
