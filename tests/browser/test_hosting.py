"""What the server sends is what a browser needs; and pages work at every address, also beside each other."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from visits import Handler, Visit, classify, expect_in_charge, isolated

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


needs_two_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread: nothing is reloaded")
CACHES = "async () => (await caches.keys()).map(decodeURIComponent).filter((name) => name.startsWith('vit-pages:'))"


@needs_two_cores
@pytest.mark.parametrize(
    ("host", "base_path"),
    [("model.localhost", "/"), ("127.0.0.1", "/"), ("127.0.0.1", "/repo/")],
    ids=["a domain of one's own", "a user's page", "a sub-path"],
)
def test_page_works_at_every_address(
    visitor: BrowserContext, built_site: Path, handler: type[Handler], host: str, base_path: str
) -> None:
    with serving(built_site, base_path=base_path, handler=handler) as url:
        address = url.replace("127.0.0.1", host)
        page = Visit(visitor).open(address, loads=2)
        classify(page)
        assert isolated(page) and page.url.startswith(address)
        expect_in_charge(page, "isolate")
        handler.gone.set()
        page = Visit(visitor).open(address)
        classify(page)  # without a network


@needs_two_cores
def test_pages_of_one_origin_keep_apart(
    visitor: BrowserContext, built_site: Path, handler: type[Handler], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(built_site, tmp_path / "site"))
    shutil.copytree(built_site, root / "second")
    with serving(root, handler=handler) as url:
        first = Visit(visitor).open(url, loads=2)
        classify(first)
        second = Visit(visitor).open(f"{url}second/", loads=2)  # which is in the scope of the first one's worker
        classify(second)
        scripts = "async () => (await navigator.serviceWorker.getRegistrations()).map(({ scope }) => scope).sort()"
        assert second.evaluate(scripts) == [url, f"{url}second/"] and isolated(second)
        assert sorted(":".join(name.split(":")[:-1]) for name in second.evaluate(CACHES)) == [
            "vit-pages:shell:/",
            "vit-pages:shell:/second/",
            "vit-pages:weights:2",
            "vit-pages:weights:2",
        ]
        second.get_by_role("button", name="Remove the model").click()
        expect(second.locator("#state")).to_contain_text("removed from this device")
        names = second.evaluate(CACHES)
        assert "vit-pages:weights:2:/" in names and "vit-pages:weights:2:/second/" not in names
        second.goto(f"{url}second/?isolation=off")
        second.wait_for_function("async () => (await navigator.serviceWorker.getRegistrations()).length === 1")
        handler.gone.set()
        classify(Visit(visitor).open(url))  # the first one is whole, without a network
