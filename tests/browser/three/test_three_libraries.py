"""The library in the three browser engines: the documents' pages, every input, threads across origins, the package."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from visitor import Visitor

from export.measuring.browser.server import serving

sys.path.append(str(Path(__file__).parents[1] / "library"))
from hosts import EMPTY, SAMPLES, at, example
from test_library import INPUTS

pytestmark = pytest.mark.browser

BAG = SAMPLES / "bag-30.png"
SHOWN = "() => document.querySelector('vit-classifier').shadowRoot.querySelector('[part=status]').innerText"
LOADED = """<script type="module">
  import { load } from 'SITElib/vit-pages.js';
  const loaded = load('SITEmodels/fashion/manifest.json', { threads: 2 });
  loaded.then(
    (vit) => { globalThis.vit = vit; document.title = 'loaded'; },
    (error) => { document.title = error.message; },
  );
</script>"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve a page from an origin of its own."""
    with ExitStack() as servers:

        def serve(html: str, *, isolated: bool = False) -> str:
            (tmp_path / "index.html").write_text(html)
            return servers.enter_context(serving(tmp_path, isolated=isolated))

        yield serve


@pytest.fixture(scope="session")
def site(build_page: Callable[..., Path]) -> Iterator[str]:
    with serving(build_page("w8_dynamic,w4_dynamic", "vit")) as url:
        yield url


def test_the_ten_lines_of_the_docs_answer(visitor: Visitor, site: str, host: Callable[..., str]) -> None:
    visitor.tab.goto(host(at(site, example("library.md", "import { load }"))))
    visitor.tab.choose_file("input", BAG)
    visitor.expect("output", r"^Bag: \d+ %$")


@pytest.mark.parametrize("isolated", [False, True], ids=["plain", "isolated"])
def test_every_input_is_taken_with_and_without_threads(
    visitor: Visitor, site: str, host: Callable[..., str], isolated: bool
) -> None:
    visitor.tab.goto(host(EMPTY.replace("<body>", f"<body>{LOADED.replace('SITE', site)}"), isolated=isolated))
    visitor.tab.evaluate(
        "async () => { while (document.title === 'host') await new Promise((r) => setTimeout(r, 20)); }"
    )
    assert visitor.tab.evaluate("() => document.title") == "loaded"
    assert visitor.tab.evaluate("() => [crossOriginIsolated, vit.threads]") == [isolated, 2 if isolated else 1]
    found = visitor.tab.evaluate(INPUTS, [site])["found"]
    assert len(found) == 12 and {one["label"] for one in found.values()} == {"Bag"}


def test_the_element_of_the_docs_answers(visitor: Visitor, site: str, host: Callable[..., str]) -> None:
    visitor.tab.goto(host(at(site, example("library.md", "<vit-classifier"))))
    visitor.tab.evaluate(
        """async (image) => {
          await customElements.whenDefined('vit-classifier');
          await document.querySelector('vit-classifier').classify(image);
        }""",
        f"{site}samples/fashion/bag-30.png",
    )
    assert visitor.tab.evaluate(SHOWN).startswith("Most likely: Bag")
