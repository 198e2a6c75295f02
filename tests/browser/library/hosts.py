"""Pages of other people's, which use a published model: the documents' own, and small ones of the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "site/samples/fashion"
ICON = '<link rel="icon" href="data:,">'
EMPTY = f'<!doctype html><html lang="en">{ICON}<title>host</title><body></body></html>'
MANIFEST = "models/fashion/manifest.json"


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
