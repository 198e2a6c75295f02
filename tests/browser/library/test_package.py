"""The npm package: packed, installed in an empty folder, type-checked, and run as it lies there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hosts import MANIFEST, ROOT, SAMPLES
from playwright.sync_api import Page, expect

from export import __version__
from export.measuring.browser.server import serving
from export.page.assets.bundle import make_bundle

pytestmark = pytest.mark.browser

# Ten lines as a person would write them; what is wrong in the last ones must be found.
RIGHT = """import { load, VitError, type Classification, type Progress } from 'vit-pages';
import type { VitClassifierElement } from 'vit-pages/vit-classifier';
const seen: Progress['phase'][] = [];
const stop = new AbortController();
const options = { threads: 2, signal: stop.signal, onProgress: ({ phase }: Progress) => seen.push(phase) };
const vit = await load(new URL('https://you.github.io/repository/models/photos/manifest.json'), options);
const input = document.querySelector('video') ?? document.createElement('canvas');
const found: Classification = await vit.classify(input, { top: 3 }).catch((error: VitError) => { throw error.code; });
const element: VitClassifierElement | null = document.querySelector('vit-classifier');
element?.addEventListener('classified', ({ detail }) => console.log(detail.top, found.logits, vit.labels));
"""
WRONG = {
    "load(7)": "TS2345",
    "load('x', { varient: 'y' })": "TS2561",
    "(await load('x')).classify(document.body)": "TS2345",
    "(await load('x')).labels.push('x')": "TS2339",
}
PAGE = f"""<!doctype html>
<title>Installed</title><link rel="icon" href="data:,">
<input type="file" aria-label="Picture"> <output></output>
<script type="module">
  import {{ load }} from './node_modules/vit-pages/lib/vit-pages.js';
  const vit = load(new URLSearchParams(location.search).get('site') + '{MANIFEST}');
  document.querySelector('input').onchange = async ({{ target }}) => {{
    const {{ top }} = await (await vit).classify(target.files[0]);
    document.querySelector('output').textContent = top[0].label;
  }};
</script>
"""


@pytest.fixture(scope="module")
def package(library_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package, as `make lib` writes it."""
    out = tmp_path_factory.mktemp("npm") / "package"
    npm("run", "--silent", "lib", "--", "--bundle", str(make_bundle().resolve()), "--out", str(out), cwd=ROOT / "site")
    return out


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which the packed package was installed."""
    folder = tmp_path_factory.mktemp("installed")
    (packed,) = json.loads(npm("pack", "--json", "--pack-destination", str(folder), cwd=package))
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    npm("install", "--offline", "--no-audit", "--no-fund", f"./{packed['filename']}", cwd=folder)
    return folder


def npm(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["npm", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_is_whole_and_says_what_it_is(package: Path, installed: Path) -> None:
    about = json.loads((package / "package.json").read_text())
    assert (about["name"], about["version"], about["license"]) == ("vit-pages", __version__, "MIT")
    entries = [path for entry in about["exports"].values() if isinstance(entry, dict) for path in entry.values()]
    assert len(entries) == 4 and all((package / path).is_file() for path in [*entries, *about["sideEffects"]])
    assert "private" not in about and "dependencies" not in about and "scripts" not in about
    made, packed = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()}
        for folder in (package, installed / "node_modules/vit-pages")
    )
    assert made == packed and len([name for name in made if name.endswith(".wasm")]) == 6
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_a_folder_that_is_no_package_is_left_alone(package: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = ["node", "tools/pack_library.mjs", "--bundle", str(make_bundle().resolve()), "--out", str(tmp_path)]
    for arguments in (command, [*command[:3], str(tmp_path), "--out", str(package)], command[:2]):
        done = subprocess.run(arguments, cwd=ROOT / "site", capture_output=True, text=True, check=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "thesis.txt").exists() and (package / "package.json").exists()


def test_its_types_check_what_is_written_against_it(installed: Path) -> None:
    (installed / "right.ts").write_text(RIGHT)
    lines = ["import { load } from 'vit-pages';", *(f"void {text};" for text in WRONG)]
    (installed / "wrong.ts").write_text("\n".join(lines))
    options = ["--strict", "--noEmit", "--target", "ES2022", "--module", "NodeNext"]
    compiler = ["node", str(ROOT / "site/node_modules/typescript/bin/tsc"), *options, "--pretty", "false"]
    found = subprocess.run(
        [*compiler, "right.ts", "wrong.ts"], cwd=installed, capture_output=True, text=True, check=False
    )
    errors = [line.partition(": error ")[::2] for line in found.stdout.splitlines() if ": error " in line]
    wanted = [(f"wrong.ts({number}", code) for number, code in enumerate(WRONG.values(), 2)]
    assert [(place.partition(",")[0], text[:6]) for place, text in errors] == wanted, found.stdout


def test_its_page_answers(page: Page, installed: Path, site: str) -> None:
    (installed / "index.html").write_text(PAGE)
    with serving(installed) as url:
        page.goto(f"{url}?site={site}")
        page.get_by_label("Picture").set_input_files(SAMPLES / "bag-30.png")
        expect(page.locator("output")).to_have_text("Bag")
        assert not [worker.url for worker in page.workers if worker.url.startswith("blob:")]


def test_its_files_may_lie_elsewhere(page: Page, installed: Path, site: str) -> None:
    """As where a bundler moved the scripts."""
    shutil.copytree(installed / "node_modules/vit-pages/lib", installed / "moved")
    shutil.copytree(installed / "node_modules/vit-pages/assets", installed / "elsewhere")
    (installed / "index.html").write_text(PAGE)
    with serving(installed) as url:
        page.goto(f"{url}?site={site}")
        found = page.evaluate(
            """async ([manifest]) => {
              const { load } = await import('./moved/vit-pages.js');
              return (await load(manifest, { assets: 'elsewhere' })).name;
            }""",
            [site + MANIFEST],
        )
    assert found == "fashion"
