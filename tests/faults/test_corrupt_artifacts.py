"""Every file that the page or a build loads, flipped or cut at 200 places: refused, by hash or by who reads it."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulting import Tally
from playwright.sync_api import Browser

from export.core.errors import ArtifactError, ExportError
from export.measuring.browser.page_client import QUIET_PAGE, read_site_data
from export.measuring.browser.server import serving
from export.pipeline.store import MANIFEST, Store
from export.quantization.integer_file import read_tensors

pytestmark = [pytest.mark.faults("artifacts"), pytest.mark.conversion]
LOADER = Path(__file__).parents[1] / "engine/corrupt.mjs"
PLACES, FEW = 200, 20
EVERYTHING = ("vit", "tfjs", "litert", "ort")
# Fetches a file of the engines as they do, and says what they would be told.
FETCH = """async ([module, urls]) => {
  const { fetchFile } = await import(module);
  const outcomes = [];
  for (const url of urls) {
    try { await fetchFile('file', url); outcomes.push(''); }
    catch ({ code, hint }) { outcomes.push(hint ? code : `${code} without a hint`); }
  }
  return outcomes;
}"""


def spoilt(data: bytes, places: int) -> Iterator[bytes]:
    """Yield the bytes flipped at every other place, cut at the others."""
    for place in range(places):
        at = len(data) * place // places
        yield data[:at] if place % 2 else data[:at] + bytes([data[at] ^ 1 << place % 8]) + data[at + 1 :]


@pytest.fixture(scope="module")
def site(build_page: Callable[..., Path], full: bool) -> Path:
    """The page with variants for all engines, or for those that are chosen by themselves, of which there are two."""
    return build_page("w8_dynamic,u8", *(EVERYTHING if full else ("auto",)))


def test_the_page_refuses_what_its_list_does_not_say(site: Path, full: bool, tally: Tally) -> None:
    """Models, weights and reference images, by the module that fetches them."""
    model = read_site_data(site)["models"][0]
    variants = [site / one["folder"] / file["path"] for one in model["variants"] for file in one["files"]]
    paths = [*variants, site / model["selftest"]["folder"] / model["selftest"]["path"]]
    command = ["node", str(LOADER), str(PLACES if full else FEW), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    tally.count("answered", n=found["refused"])
    for fault in found["faults"]:
        tally.count("wrong", f"{Path(fault['file']).name}, {fault['what']}")


@pytest.mark.browser
def test_engines_refuse_other_binaries_than_those_published(
    chromium: Browser, site: Path, full: bool, tally: Tally, tmp_path: Path
) -> None:
    """Every .wasm, by the name that holds the beginning of its hash; through the function that fetches them."""
    served = tmp_path / "_site"
    shutil.copytree(site, served)
    places = PLACES if full else FEW
    module = fetching_module(served)
    for path in sorted((site / "assets").glob("*.wasm"))[: None if full else 2]:
        urls = []
        spoilt_files = served / "assets" / "spoilt"
        for place, data in enumerate(spoilt(path.read_bytes(), places)):
            target = spoilt_files / str(place) / path.name
            target.parent.mkdir(parents=True)
            target.write_bytes(data)
            urls.append(target.relative_to(served).as_posix())
        with serving(served) as url, chromium.new_page(service_workers="block") as page:
            page.goto(url + QUIET_PAGE)
            outcomes = page.evaluate(FETCH, [url + module, [url + one for one in urls]])
        shutil.rmtree(spoilt_files)  # 200 copies of each are many gigabytes
        for place, found in enumerate(outcomes):
            tally.count("answered" if found == "hash_mismatch" else "wrong", f"{path.name}, place {place}: {found}")


def fetching_module(site: Path) -> str:
    """Write a module beside the bundle that exports `fetchFile`, and return its path in the site."""
    target = site / "assets/fetching.js"
    root = Path(__file__).parents[2] / "site"
    entry = target.with_name("entry.js")
    entry.write_text(f"export {{ fetchFile }} from {json.dumps(str(root / 'js/engines/files.js'))};\n")
    command = [root / "node_modules/.bin/esbuild", entry, "--bundle", "--format=esm", "--define:WASM_FILES={}"]
    subprocess.run([*map(str, command), f"--outfile={target}"], check=True, capture_output=True)
    return "assets/fetching.js"


def test_builds_refuse_damaged_artifacts(artifacts: Path, site: Path, full: bool, tally: Tally, tmp_path: Path) -> None:
    """The stored file is found damaged, and so made anew; a damaged manifest is an error or says the same as before."""
    store = Store(tmp_path)
    places = PLACES if full else FEW
    for manifest in stored(artifacts, full):
        source = manifest.parent
        target = tmp_path / source.relative_to(artifacts)
        shutil.copytree(source, target)
        model, recipe, format = source.relative_to(artifacts).parts
        whole = store.read(model, recipe, format)
        assert whole is not None
        for path in sorted(one for one in target.rglob("*") if one.is_file()):
            data = path.read_bytes()
            for place, other in enumerate(spoilt(data, places)):
                path.write_bytes(other)
                try:
                    found = store.find(model, recipe, format, whole.key)
                except ArtifactError as error:
                    tally.count("answered" if error.hint else "unclear", f"{path}, place {place}: {error}")
                else:
                    what = f"{path.relative_to(tmp_path)}, place {place} is not noticed"
                    tally.count("answered" if found is None or same(found, whole, path) else "wrong", what)
            path.write_bytes(data)


def same(found: Any, whole: Any, path: Path) -> bool:
    """Tell whether a manifest with another byte says the same, as it does where only white space is another."""
    return bool(path.name == MANIFEST and found == whole)


def stored(artifacts: Path, full: bool) -> list[Path]:
    """Return the manifests of the embedded model's small artifacts: of our engine alone, or of all."""
    found = sorted(artifacts.glob(f"fashion/*/*/{MANIFEST}"))
    wanted = re.compile(r"(w8_dynamic|u8|f32)/" if full else r"w8_dynamic/(vit|selftest_vit)/")
    return [path for path in found if wanted.search(path.as_posix())]


def test_integers_that_are_damaged_are_not_read(
    artifacts: Path, site: Path, full: bool, tally: Tally, tmp_path: Path
) -> None:
    """Without what a manifest says of it, too: the file has the hash of its tensors; its header may be cut."""
    data, copy = (artifacts / "fashion/w8_dynamic/safetensors/model.safetensors").read_bytes(), tmp_path / "spoilt"
    places, start = PLACES if full else FEW, 8 + int.from_bytes(data[:8], "little")
    cuts = (data[: start * place // places] for place in range(places))
    for place, other in enumerate((*cuts, *(data[:start] + one for one in spoilt(data[start:], places)))):
        copy.write_bytes(other)
        try:
            read_tensors(copy)
        except ExportError as error:
            tally.count("answered" if error.hint else "unclear", f"place {place}: {error}")
        else:
            tally.count("wrong", f"place {place} is read")
