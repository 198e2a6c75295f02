"""Pages of other people's, which use a published model: the documents' own, and small ones of the tests."""

import re
from pathlib import Path

from playwright.sync_api import Frame, Page

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "site/samples/fashion"
ICON = '<link rel="icon" href="data:,">'
EMPTY = f'<!doctype html><html lang="en">{ICON}<title>host</title><body></body></html>'
MANIFEST = "models/fashion/manifest.json"
AXE = ROOT / "site/node_modules/axe-core/axe.min.js"
VIOLATIONS = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}"""


def example(document: str, containing: str) -> str:
    """Return the one page in a document that contains a text."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(r"^```html\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return str(found)


def at(site: str, html: str) -> str:
    """Return a page of the documents with the address of the test's site and model in place of the reader's."""
    assert "https://you.github.io/repository/" in html
    return html.replace("https://you.github.io/repository/", site).replace("models/photos/", "models/fashion/")


def violations(page: Page, frame: Frame) -> list[str]:
    """Run axe in a frame of a page, in both colour schemes; the frame's policy stays in force."""
    frame.evaluate(AXE.read_text())
    found: list[str] = []
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        found += frame.evaluate(VIOLATIONS)
    return found
