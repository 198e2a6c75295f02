"""What analyses of layers found, on page and in documents: as it was measured, and nothing where nothing was."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from layer_analyses import COMMAND, RECIPE, write_analysis, write_mixed
from msgspec.structs import replace
from rendering import Tags, make_site

from export.core.errors import RequestError
from export.page.reports.analysis.heat_map import heat_map
from export.page.reports.analysis.records import AnalysisFile, analysis_files, read_analyses, without_folders
from export.page.reports.analysis.tables import bits_of_layers
from export.page.reports.documents import README, REPRODUCE, RESULTS, SOURCES
from export.pipeline.store import Store
from export.quantization.analysis.records import Analysis, MixedPrecision
from export.quantization.analysis.run import write_json
from export.readme import main as readme

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis]:
    return write_analysis(tmp_path_factory.mktemp("analysed"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MixedPrecision]:
    return write_mixed(tmp_path_factory.mktemp("mixed"))


def changed(analysis: Analysis, folder: Path, **values: object) -> Path:
    path = folder / "changed.json"
    write_json(replace(analysis, **values), path)
    return path


class Cells(HTMLParser):
    """The rows of tables with the class `heat`: of every cell its class and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        self.inside = kind == "heat" if tag == "table" else self.inside
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("th", "td"):
            self.rows[-1].append((kind, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "table"

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            kind, text = self.rows[-1][-1]
            self.rows[-1][-1] = (kind, text + data)


def test_each_cell_is_what_was_measured_and_the_worst_layers_are_marked(
    store: Store, bundle: Path, out: Path, analysed: tuple[Path, Analysis]
) -> None:
    path, analysis = analysed
    report = make_site(store, bundle, out, analyses=[path])
    html = (out / "results.html").read_text()
    (head, *rows) = Cells(html).rows
    columns = [" ".join(text.split()) for _, text in head]
    assert columns[:5] == ["block", "qkv weights", "qkv input", "q·kᵀ inputs", "softmax·v inputs"]
    measured = {(row.layer, row.tensors): row.sqnr_db for row in analysis.sensitivity}
    names = {"0": "blocks.0", "1": "blocks.1"}
    for row in rows[:2]:
        for column, title, tensors in ((1, "attn.qkv", "weights"), (3, "attn.product_qk", "activations")):
            assert row[column][1].startswith(f"{measured[f'{names[row[0][1]]}.{title}', tensors]:.1f}")
    outside = {row[0][1]: row for row in rows[3:]}
    assert set(outside) == {"patch_embed.proj", "head"}
    assert outside["head"][2][1].startswith(f"{measured['head', 'activations']:.1f}")
    worst = [cell for row in rows for cell in row if "worst" in cell[0].split()]
    assert len(worst) == 5 and all("one of the worst layers" in text for _, text in worst)
    lowest = min((row for row in analysis.sensitivity if row.tensors != "both"), key=lambda row: row.sqnr_db)
    assert any(text.startswith(f"{lowest.sqnr_db:.1f}") for _, text in worst)
    assert "n = 16" in html and analysis.machine in html and "--data pictures" in html
    assert not any("style" in attributes for _, attributes in Tags(html).found)
    assert not any("analysis" in note for note in report.notes)


def test_shades_follow_the_scale(analysed: tuple[Path, Analysis]) -> None:
    summary = read_analyses(analysed[0]).models["plain"].recipes[RECIPE]
    cells = [cell for table in heat_map(RECIPE, summary).tables for row in table.rows for cell in row.cells if cell]
    ordered = sorted(cells, key=lambda cell: cell.sqnr_db)
    assert [cell.shade for cell in ordered] == sorted((cell.shade for cell in cells), reverse=True)
    assert ordered[0].shade == 5 and ordered[-1].shade == 0


def test_where_nothing_was_measured_the_page_says_how_to(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    html = (out / "results.html").read_text()
    assert html.count("What each layer costs") == 2 and not Cells(html).rows
    assert "python -m export.analyze --recipe w4a8_gptq</code>, with the model’s options" in html


def test_what_is_of_other_weights_or_was_interrupted_is_not_shown_but_named(
    store: Store, bundle: Path, out: Path, tmp_path: Path, analysed: tuple[Path, Analysis]
) -> None:
    for values, words in (({"weights_sha256": "cd" * 32}, "is of other weights"), ({"cumulative": ()}, "interrupted")):
        path = changed(analysed[1], tmp_path, **values)
        report = make_site(store, bundle, out, analyses=[path])
        assert any(words in note for note in report.notes)
        assert not Cells((out / "results.html").read_text()).rows


def test_the_page_of_a_model_finds_its_own_files(tmp_path: Path, analysed: tuple[Path, Analysis]) -> None:
    path = Path(shutil.copy(analysed[0], tmp_path))
    (tmp_path / "analysis-other-w8a8_minmax.json").touch()
    assert [found for found in analysis_files(tmp_path, ["plain", "absent"]) if found.parent == tmp_path] == [path]


def test_files_are_merged_by_model_and_recipe_and_other_weights_go(
    tmp_path: Path, analysed: tuple[Path, Analysis], mixed: tuple[Path, MixedPrecision]
) -> None:
    (first, analysis), (second, chosen) = analysed, mixed
    both = read_analyses(first, second, second)
    assert list(both.models["plain"].recipes) == [RECIPE] and both.models["plain"].limits[0].bits == chosen.bits
    assert len(both.models["plain"].limits) == 1
    kept = tmp_path / "kept.json"
    write_json(both, kept)
    assert read_analyses(kept) == both
    more = read_analyses(kept, changed(analysis, tmp_path, recipe="w8a8_minmax"))
    assert list(more.models["plain"].recipes) == [RECIPE, "w8a8_minmax"] and more.models["plain"].limits
    other = read_analyses(kept, changed(analysis, tmp_path, weights_sha256="cd" * 32)).models["plain"]
    assert list(other.recipes) == [RECIPE] and not other.limits


def test_documents_are_filled_and_the_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analysed: tuple[Path, Analysis], mixed: tuple[Path, MixedPrecision]
) -> None:
    for name in (README, RESULTS, REPRODUCE, *(str(source.kept) for source in SOURCES.values())):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    SOURCES["analysis"].kept.unlink(missing_ok=True)
    readme(["--analysis", f"{analysed[0]},{mixed[0]}", "--keep"])
    text = Path(RESULTS).read_text()
    section = text[text.index("<!-- analysis:begin") : text.index("<!-- analysis:end")]
    worst = min((row for row in analysed[1].sensitivity), key=lambda row: row.sqnr_db)
    assert f"| `{worst.layer}` | {worst.sqnr_db:.1f}\u00a0dB |" in section
    for step in analysed[1].ladder:
        assert f"| {step.step} | {', '.join(step.float_layers) or 'none'} | {step.sqnr_db:.1f} dB |" in section
    assert f"| {mixed[1].chosen.recipe} |" in section and f"{mixed[1].chosen.weight_bytes:,} B" in section
    named = re.search(r"^3 bits: (.*); 8 bits: (.*)\.$", section, re.MULTILINE)
    assert named and "the other" in named[0]
    assert "/home/somebody" not in SOURCES["analysis"].kept.read_text()
    rows = re.findall(r"^\| 3[0-3] \|.*\|([^|]*)\|$", Path(REPRODUCE).read_text(), re.MULTILINE)
    assert len(rows) == 4 and all(f"`plain`, `{RECIPE}`, n=16" in ours for ours in rows[:3])
    written = {name: Path(name).read_text() for name in (README, RESULTS, REPRODUCE)}
    readme([])
    assert {name: Path(name).read_text() for name in written} == written
    read = AnalysisFile.from_json(json.loads(SOURCES["analysis"].kept.read_text()))
    assert read == read_analyses(analysed[0], mixed[0])


def test_equal_bits_everywhere_are_told_as_such(mixed: tuple[Path, MixedPrecision]) -> None:
    chosen = mixed[1]
    assert bits_of_layers(replace(chosen, bits=dict.fromkeys("abc", 3))) == "3 bits: all 3 layers."
    assert bits_of_layers(replace(chosen, bits={"a": 4, "b": 3, "c": 4})) == "3 bits: `b`; 4 bits: the other 2 layers."


def test_an_interrupted_analysis_is_not_kept(tmp_path: Path, analysed: tuple[Path, Analysis]) -> None:
    with pytest.raises(RequestError, match="interrupted"):
        read_analyses(changed(analysed[1], tmp_path, cumulative=()))


def test_a_command_names_no_folders_of_its_machine() -> None:
    assert without_folders(COMMAND) == f"python -m export.analyze --model plain --recipe {RECIPE} --data pictures"
    assert without_folders("a --data=/b/c --out d/e 'two words'") == "a --data=c --out d/e 'two words'"
