"""The heat map of layers in a real browser: a table to assistive technology, readable in both schemes, on any width."""

from pathlib import Path

import pytest
from layer_analyses import RECIPE, write_analysis
from playwright.sync_api import Page, expect
from rendering import make_site, make_store
from test_page_access import violations

from export.measuring.browser.server import serving
from export.page.assets.bundle import make_bundle

pytestmark = pytest.mark.browser


def test_a_heat_map_is_a_table_for_everyone(page: Page, tmp_path: Path) -> None:
    path, _ = write_analysis(tmp_path)
    make_site(make_store(tmp_path / "artifacts"), make_bundle(), tmp_path / "_site", analyses=[path])
    with serving(tmp_path / "_site") as url:
        page.goto(f"{url}results.html")
        page.locator("summary", has_text=RECIPE).click()
        table = page.get_by_role("table", name="Layers in blocks of Plain")
        expect(table.get_by_role("rowheader", name="1", exact=True)).to_be_visible()
        expect(table.get_by_role("columnheader", name="fc1 weights")).to_be_visible()
        worst = page.get_by_role("cell", name="one of the worst layers")
        expect(worst).to_have_count(5)
        shades = "(cells) => new Set(cells.map((cell) => getComputedStyle(cell).backgroundColor)).size"
        assert page.locator(".heat td[class]").evaluate_all(shades) >= 3
        assert violations(page) == []
        for width in (320, 390):
            page.set_viewport_size({"width": width, "height": 780})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
