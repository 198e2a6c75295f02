"""What the pages say: nothing typed by hand, nothing inline, labels as text, figures as measured."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import pytest
from jinja2 import meta, nodes
from PIL import Image
from rendering import LABELS, PAGES, Tags, make_site, read_site_data, write_file

from export.core.errors import RequestError
from export.core.figures.units import format_bytes, format_ms, format_percent
from export.core.records import Artifact, SelfTest, StoredFile
from export.page.content.inventory import SAMPLES, Sample, gather_model
from export.page.contexts import CSP, IndexContext, MethodContext, PageContext, ResultsContext
from export.page.render import page_environment
from export.pipeline.runtimes import ENGINES
from export.pipeline.store import Made, Plan, Store

ROOT = Path(__file__).parents[3]


def test_variant_says_what_is_stored_and_what_is_computed(built: Path) -> None:
    variant = read_site_data(built)["models"][0]["variants"][0]
    assert (variant["storage_dtype"], variant["compute_dtype"], variant["engine"]) == ("uint8", "float32", "tfjs")
    assert variant["folder"].startswith("models/plain/u8-tfjs-") and variant["sha256"][:10] in variant["folder"]
    html = (built / "index.html").read_text()
    assert "Stored as <strong>uint8</strong>, computed as <strong>float32</strong>" in html


def test_labels_stay_text(built: Path) -> None:
    assert tuple(read_site_data(built)["models"][0]["labels"]) == LABELS
    html = (built / "index.html").read_text()
    assert "alert(1)</script>" not in html and "<b>bold" not in html
    assert sum(tag == "script" for tag, _ in Tags(html).found) == 3


@pytest.mark.parametrize("name", PAGES)
def test_page_has_its_policy_first_and_nothing_inline_but_what_it_names(built: Path, name: str) -> None:
    html = (built / name).read_text()
    tags = Tags(html).found
    first = tags[[tag for tag, _ in tags].index("head") + 1]
    assert first[0] == "meta" and first[1]["http-equiv"] == "Content-Security-Policy"
    policy = first[1]["content"] or ""
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy
    assert name == "404.html" or (policy == CSP and "connect-src 'self';" in policy)
    for tag, attributes in tags:
        assert tag != "style" and "style" not in attributes
        assert not [key for key in attributes if key.startswith("on")]
        assert tag != "script" or not attributes or "src" in attributes or attributes["type"] == "application/json"
    for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL):
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy


def test_random_weights_are_said_loudly(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    for name in ("index.html", "results.html", "method.html"):
        assert "Random weights." in (out / name).read_text()
    make_site(store, bundle, out, models=("plain",))
    for name in ("index.html", "results.html", "method.html"):
        assert "Random weights." not in (out / name).read_text()


def test_measured_figures_are_shown_with_their_spread(
    store: Store, bundle: Path, out: Path, measurements: Path
) -> None:
    report = make_site(store, bundle, out, measurements)
    html = re.sub(r"\s+", " ", (out / "results.html").read_text().replace("\u00a0", " "))
    for text in (
        "12.3 ms",
        "[11.1 ms, 15.6 ms]",
        "n = 30",
        "77.7 ms",
        "91.7 %",
        "[90.1 %, 93.1 %]",
        "n = 1,000",
        "98.9 %",
    ):
        assert text in html
    assert "A &lt;fast&gt; one" in html
    assert "PyTorch, float32, on the same images: top-1 91.8 %" in html
    assert "not measured" in html  # decode, download, first run, and all of f32
    assert any("gone/u8-tfjs" in note for note in report.notes)


def test_without_measurements_nothing_is_claimed(built: Path) -> None:
    html = (built / "results.html").read_text()
    assert "not measured" in html and "Nothing has been measured" in html and "<figure" not in html
    assert not re.search(r"\d\s?ms\b", html)


def test_a_benchmark_is_shown_with_its_conditions(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out, benchmark=ROOT / ".github" / "benchmark.json")
    html = re.sub(r"\s+", " ", (out / "results.html").read_text().replace("&nbsp;", " "))
    assert html.count("Engine benchmark: <code>") == 4
    assert "at 10 Mbit/s, 40 ms RTT and 4× CPU throttling" in html
    assert "Time to first prediction" in html and "GPU dispatches per inference" in html
    assert "same as with one thread" in html and "`" not in html


def test_chart_marks_stay_on_their_axes(store: Store, bundle: Path, out: Path, measurements: Path) -> None:
    make_site(store, bundle, out, measurements)
    marks: list[float] = []
    for _, attributes in Tags((out / "results.html").read_text()).found:
        if "d" in attributes:
            marks += [float(x) for x in re.findall(r"[MH](-?[\d.]+)", attributes["d"] or "")]
        if attributes.get("class") == "fill":
            marks.append(float(attributes["width"] or "nan"))
    assert marks and all(0 <= mark <= 100 for mark in marks)


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 9}', '{"schema_version": 1, "colour": 1}'])
def test_measurements_file_that_is_none_is_refused(
    store: Store, bundle: Path, out: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(RequestError, match="not a measurements file"):
        make_site(store, bundle, out, path)


def test_method_page_shows_each_edge_as_verified(built: Path, built_store: Store) -> None:
    html = (built / "method.html").read_text().replace("\u00a0", " ")
    assert "max abs difference 0.12; same top-1 on 1 of 2 images" in html
    for text in ("0.012", "34.6 dB", "identical", "≥ 25.0 dB", "tfjs-tool", "1.2.3", "ab" * 32, "resized to 31 pixels"):
        assert text in html
    for recipe in ("u8", "f32"):
        artifact = built_store.read("plain", recipe, "tfjs")
        assert artifact and artifact.sha256 in html
        assert all(file.sha256 in html for file in artifact.files)


def test_steps_that_made_the_same_bytes_are_all_listed(store: Store) -> None:
    first = store.read("plain", "f32", "tfjs")
    assert first and first.verification
    kept = {name: getattr(first, name) for name in Plan.__slots__}
    second = store.write(Plan(**{**kept, "format": "tfjs_stock"}), lambda folder: copied(store, first, folder))
    expected = json.dumps(SelfTest(max_abs_diff=0.125, agrees=(True, False)).to_json()).encode()
    write_file(store, second, "f32", "selftest_tfjs_stock", "selftest.json", expected)
    assert second.sha256 == first.sha256
    listed = [step.format for step in gather_model(store, "plain", ["f32"]).steps]
    assert listed == ["torch", "tf", "tfjs", "tfjs_stock"]


def copied(store: Store, artifact: Artifact, folder: Path) -> Made:
    for file in artifact.files:
        shutil.copy(store.folder(artifact.model, artifact.recipe, artifact.format) / file.path, folder / file.path)
    return Made(artifact.verification)


@pytest.mark.parametrize(
    ("template", "context"),
    [
        ("index.html", IndexContext),
        ("results.html", ResultsContext),
        ("method.html", MethodContext),
        ("404.html", PageContext),
    ],
)
def test_template_uses_its_context_and_nothing_else(template: str, context: type[PageContext]) -> None:
    environment = page_environment()
    loader = environment.loader
    assert loader
    used: set[str] = set()
    for name in (template, *(() if template == "404.html" else ("base.html",))):
        tree = environment.parse(loader.get_source(environment, name)[0])
        own = {macro.name for macro in tree.find_all(nodes.Macro)} | {one.target for one in tree.find_all(nodes.Import)}
        own |= {str(name) for one in tree.find_all(nodes.FromImport) for name in one.names}
        used |= meta.find_undeclared_variables(tree) - own
    given = {field.name for field in fields(context)}
    assert used <= given
    assert {field.name for field in fields(context)} - {field.name for field in fields(PageContext)} <= used


def test_python_and_javascript_write_figures_alike() -> None:
    counts = [0, 1, 999, 1000, 12_345, 999_999, 5_690_000, 22_770_000, 1_000_000_000]
    times = [0.0, 0.0005, 0.005, 0.123, 4.56, 9.994, 23.14, 162.4, 1234.6]
    shares = [0.0, 0.9344, 1.0]
    script = (
        "import {formatBytes, formatMs, formatPercent} from './site/js/page/ui/figures.js';"
        f"console.log(JSON.stringify([{counts}.map(formatBytes), {times}.map(formatMs), {shares}.map(formatPercent)]))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    expected = [[*map(format_bytes, counts)], [*map(format_ms, times)], [*map(format_percent, shares)]]
    assert json.loads(done.stdout) == expected


def test_python_page_and_bundler_name_the_same_engines() -> None:
    script = (
        "import {ENGINES} from './site/js/engines/index.js'; import {engineFiles} from './site/engine_files.mjs';"
        "console.log(JSON.stringify([ENGINES, engineFiles('site')].map(Object.keys)))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    page, bundler = json.loads(done.stdout)
    assert set(page) == set(bundler) == set(ENGINES)


@pytest.mark.parametrize("record", sorted(SAMPLES.glob("*/samples.json")), ids=lambda path: path.parent.name)
def test_samples_are_licensed_small_and_as_described(record: Path) -> None:
    samples = [Sample.from_json(values) for values in json.loads(record.read_text())]
    assert {sample.file for sample in samples} == {path.name for path in record.parent.iterdir()} - {record.name}
    for sample in samples:
        assert sample.title and sample.attribution and sample.licence and sample.source.startswith("https://")
        path = record.parent / sample.file
        with Image.open(path) as image:
            assert image.size == (sample.width, sample.height)
        assert path.stat().st_size <= 60 * 1024


def test_stored_file_record_is_what_the_page_publishes(built: Path) -> None:
    for file in read_site_data(built)["models"][0]["variants"][0]["files"]:
        StoredFile.from_json(file)


def test_page_says_what_it_needs_and_what_it_never_does(built: Path) -> None:
    html = re.sub(r"\s+", " ", (built / "index.html").read_text())
    assert re.search(r"<noscript>.*needs JavaScript.*</noscript>", html)
    assert "your image never leaves this device" in html and "connect-src" in html
