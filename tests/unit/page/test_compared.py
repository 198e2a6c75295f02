"""What recipes cost and lose, on the results page: as it was compared, and nothing where nothing was."""

import html
import json
import re
from pathlib import Path

import pytest
from rendering import make_site

from export.core.errors import RequestError
from export.page.reports.comparison.records import Comparison
from export.page.reports.comparison.tables import model_tables
from export.page.reports.comparison.view import comparison_files
from export.pipeline.store import Store

KEPT = Path(__file__).parents[3] / ".github/steps_trained.json"
COMMAND = "python -m export.compare --recipe w4a4_quarot --data pictures"


def write(folder: Path, weights: str) -> Path:
    """Write what is kept of a model, as that of the page's model with these weights."""
    values = json.loads(KEPT.read_bytes())
    model = values["models"][0] | {"model": "plain", "weights_sha256": weights, "commands": [COMMAND]}
    path = folder / "comparison.json"
    path.write_text(json.dumps(values | {"models": [model]}))
    return path


def weights_of(store: Store) -> str:
    spec = json.loads((store.folder("plain", "f32", "torch") / "spec.json").read_bytes())
    return str(spec["weights_sha256"])


def cells(page: str) -> list[str]:
    """Return the text of every cell of the page's tables."""
    found = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", page, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in found]


def test_every_cell_of_every_table_is_on_the_page(store: Store, bundle: Path, out: Path, tmp_path: Path) -> None:
    path = write(tmp_path, weights_of(store))
    report = make_site(store, bundle, out, comparisons=[path])
    page = (out / "results.html").read_text()
    shown = cells(page)
    tables = model_tables(Comparison.parse(path.read_bytes()).models[0])
    assert tables
    for table in tables:
        assert f"<summary>{table.title}</summary>" in page
        assert {" ".join(text.replace("`", "").split()) for row in (table.header, *table.rows) for text in row} <= set(
            shown
        )
    assert COMMAND in page and "n=" in page
    assert not any("comparison" in note for note in report.notes)


def test_where_nothing_was_compared_the_page_says_how_to(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    page = (out / "results.html").read_text()
    assert page.count("Recipes compared in PyTorch") == 2
    assert "python -m export.compare</code>, with the model’s options" in page


def test_what_is_of_other_weights_is_not_shown_but_named(store: Store, bundle: Path, out: Path, tmp_path: Path) -> None:
    report = make_site(store, bundle, out, comparisons=[write(tmp_path, "cd" * 32)])
    assert "the comparison of plain is of other weights and is not shown" in report.notes
    assert COMMAND not in (out / "results.html").read_text()


def test_another_file_is_refused(store: Store, bundle: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(RequestError, match="not a comparison"):
        make_site(store, bundle, out, comparisons=[tmp_path / "comparison.json"])


def test_the_files_are_what_comes_along_and_what_was_compared_here(tmp_path: Path) -> None:
    own = tmp_path / "compare" / "comparison.json"
    assert own not in comparison_files(tmp_path)
    own.parent.mkdir()
    own.touch()
    assert comparison_files(tmp_path)[-1] == own
