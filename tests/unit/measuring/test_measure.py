"""Measuring without a browser: statistics, merging, reading the page's data, refusing what cannot be met."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.core.console import format_seconds
from export.core.environment.machine import cpu_model, operating_system
from export.core.errors import MeasurementError, RequestError
from export.core.figures.stats import Figure, proportion, summarise
from export.core.records import Environment, Measurement, ModelSpec, Preprocess
from export.measure import main, parser
from export.measuring.browser.environment import is_software
from export.measuring.browser.page_client import batches, read_site_data
from export.measuring.options import read_request
from export.page.reports.measured.measurements import merge, table, write
from export.page.results_view import LATENCY, NATIVE, TOP1, read_measurements

HERE = Environment(
    machine="x86_64",
    os="Debian",
    cpu="Some CPU",
    logical_cores=2,
    browser="Chromium 1",
    user_agent="Mozilla",
    isolated=False,
    gpu="none",
)
LATENCY_OF_U8 = Measurement(
    metric=LATENCY,
    value=10.0,
    unit="ms",
    n=90,
    p10=9.0,
    p90=12.0,
    model="fashion",
    variant="u8-tfjs",
    engine="tfjs",
    backend="wasm",
    threads=1,
    artifact_sha256="a" * 64,
    browser="Chromium 1",
)


def change(**values: object) -> Measurement:
    return msgspec.structs.replace(LATENCY_OF_U8, **values)  # type: ignore[arg-type]


def test_summary_is_the_median_with_numpys_percentiles() -> None:
    samples = np.random.default_rng(0).exponential(size=37).tolist()
    figure = summarise(samples)
    expected = np.percentile(samples, [50, 10, 90])
    assert [figure.value, figure.low, figure.high] == pytest.approx(expected)
    assert figure.n == 37


def test_a_single_sample_is_its_own_percentile() -> None:
    assert summarise([3.0]) == Figure(3.0, 1, 3.0, 3.0)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (930, 1000, 0.9125, 0.9442)],
)
def test_wilson_interval(hits: int, n: int, low: float, high: float) -> None:
    figure = proportion(hits, n)
    assert (figure.value, figure.n) == (hits / n, n)
    assert figure.low == pytest.approx(low, abs=1e-4) and figure.high == pytest.approx(high, abs=1e-4)


def test_measurements_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "artifacts" / "measurements.json"
    file, note = merge(path, [HERE], [LATENCY_OF_U8])
    write(path, file)
    assert read_measurements(path) == file and note == ""
    assert [one.name for one in path.parent.iterdir()] == ["measurements.json"]


def test_same_environment_keeps_what_is_not_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "measurements.json"
    other_backend, other_threads = change(backend="webgl"), change(threads=2)
    of_replaced_bytes = change(variant="f32-tfjs", artifact_sha256="b" * 64)
    write(path, merge(path, [HERE], [LATENCY_OF_U8, other_backend, other_threads, of_replaced_bytes])[0])
    anew = [change(value=11.0), change(variant="f32-tfjs", artifact_sha256="c" * 64)]
    file, note = merge(path, [HERE], anew)
    assert set(file.measurements) == {*anew, other_backend, other_threads}
    assert note.startswith("2 older figures")


def test_accuracies_of_a_model_are_of_the_same_images(tmp_path: Path) -> None:
    path = tmp_path / "measurements.json"
    of_f32 = change(metric=TOP1, value=0.9, variant="f32-tfjs", artifact_sha256="b" * 64)
    of_other_model = change(metric=TOP1, value=0.8, model="deit_t", artifact_sha256="c" * 64)
    write(path, merge(path, [HERE], [LATENCY_OF_U8, of_f32, of_other_model])[0])
    of_u8 = change(metric=TOP1, value=0.7)
    assert set(merge(path, [HERE], [of_u8])[0].measurements) == {LATENCY_OF_U8, of_other_model, of_u8}


def test_other_environment_starts_anew_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "measurements.json"
    write(path, merge(path, [HERE], [change(backend="webgl")])[0])
    elsewhere = msgspec.structs.replace(HERE, browser="Chromium 2", isolated=True)
    file, note = merge(path, [elsewhere], [LATENCY_OF_U8])
    assert file.measurements == (LATENCY_OF_U8,) and file.environment == elsewhere
    assert "dropped" in note and "browser, isolated" in note


def test_browsers_of_a_machine_stand_side_by_side_each_measured_anew_alone(tmp_path: Path) -> None:
    path = tmp_path / "measurements.json"
    firefox, newer = (msgspec.structs.replace(HERE, browser=f"Firefox {version}") for version in (1, 2))
    of_pytorch = change(metric=TOP1, engine=NATIVE, browser="")
    of_firefox = change(browser="Firefox 1", value=20.0)
    write(path, merge(path, [HERE, firefox], [LATENCY_OF_U8, of_pytorch, of_firefox])[0])
    of_newer = change(browser="Firefox 2", value=18.0)
    file, note = merge(path, [newer], [of_newer])
    assert file.environments == (HERE, newer)
    assert set(file.measurements) == {LATENCY_OF_U8, of_pytorch, of_newer}
    assert "1 older figures are dropped" in note and "(browser)" in note
    moved = msgspec.structs.replace(newer, cpu="Another CPU")
    file, note = merge(path, [moved], [of_newer])
    assert file.environments == (moved,) and file.measurements == (of_newer,) and "3 older figures" in note


def test_figures_without_a_browser_are_those_of_the_files_first(tmp_path: Path) -> None:
    path = tmp_path / "measurements.json"
    write(path, merge(path, [HERE], [change(browser="")])[0])
    file, _ = merge(path, [msgspec.structs.replace(HERE, browser="Firefox 1")], [change(browser="Firefox 1")])
    assert {one.browser for one in file.measurements} == {"Chromium 1", "Firefox 1"}


def test_file_that_is_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(RequestError, match="not a measurements file"):
        merge(path, [HERE], [LATENCY_OF_U8])


def test_foreign_file_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"mine": 1}')
    with pytest.raises(RequestError, match="not a measurements file"):
        main(["--site", str(tmp_path), "--out", str(path)])
    assert path.read_text() == '{"mine": 1}'


def test_table_has_a_row_per_place_with_spread_and_count() -> None:
    accuracy = change(metric=TOP1, value=0.931, n=1000, p10=0.914, p90=0.945, unit="share")
    native = msgspec.structs.replace(accuracy, variant="f32-torch", engine=NATIVE, backend="cpu")
    header, u8, pytorch = table([LATENCY_OF_U8, accuracy, native])
    assert "warm" in header
    assert "10.0" in u8 and "9.00" in u8 and "12.0" in u8 and "n=90" in u8 and "93.1" in u8 and "n=1000" in u8
    assert "reference" in pytorch


def test_site_data_is_read_from_the_page(tmp_path: Path) -> None:
    data = {"schema_version": 1, "models": [{"name": "a<b&c"}]}
    text = json.dumps(data).replace("<", "\\u003c").replace("&", "\\u0026")
    (tmp_path / "index.html").write_text(
        f'<script src="x.js"></script><script type="application/json" id="site-data">{text}</script><p>after</p>'
    )
    assert read_site_data(tmp_path) == data


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (None, "contains no built page"),
        ("<!doctype html><p>something else</p>", "not built by ViT Pages"),
        ('<script id="site-data">{"schema_version": 99}</script>', "another version"),
    ],
)
def test_folder_without_our_page_is_refused(tmp_path: Path, page: str | None, message: str) -> None:
    if page is not None:
        (tmp_path / "index.html").write_text(page)
    with pytest.raises(RequestError, match=message):
        read_site_data(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "-1"],
        ["--limit", "-5"],
        ["--runs", "0"],
        ["--rounds", "0", "--limit", "0"],
        ["--weights", "random"],
        ["--calibration", "8"],
    ],
)
def test_what_cannot_be_met_is_refused(arguments: list[str]) -> None:
    with pytest.raises(RequestError, match=arguments[0]):
        read_request(parser().parse_args(arguments))


@pytest.mark.parametrize("threads", ["0", "two", "1,,2", ""])
def test_threads_are_whole_numbers_from_one(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--threads", threads])
    assert caught.value.code == 2 and "--threads" in capsys.readouterr().err


def test_missing_page_ends_with_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "export.measure", "--site", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "export.build" in done.stderr and "Traceback" not in done.stderr


def test_measuring_latency_needs_no_heavy_library() -> None:
    code = "import sys, export.measure; print([n for n in ('torch', 'timm', 'tensorflow') if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_batches_keep_order_and_stay_small() -> None:
    images = [bytes([index]) * size for index, size in enumerate([10, 5_000_000, 3_000_000, 2_000_000, *[1] * 60])]
    cut = list(batches(images))
    assert [image for batch in cut for image in batch] == images
    assert all(len(batch) == 1 or (len(batch) <= 50 and sum(map(len, batch)) <= 4_000_000) for batch in cut)
    assert len(cut) == 5


@pytest.mark.parametrize(
    ("gpu", "software"),
    [
        ("ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)))", True),
        ("llvmpipe (LLVM 15)", True),
        ("Apple M2", False),
    ],
)
def test_software_gpus_are_recognised(gpu: str, software: bool) -> None:
    assert is_software(gpu) is software


def test_machine_has_a_name() -> None:
    assert cpu_model() and operating_system()


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (89, "89 s"), (150, "2 min")])
def test_time_left_is_rounded(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def spec_of(features: bool) -> ModelSpec:
    preprocess = Preprocess(
        size=28, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    return ModelSpec(
        name="m",
        title="M",
        timm_name="vit",
        weights="random",
        weights_sha256="0",
        preprocess=preprocess,
        outputs=2,
        labels=() if features else ("a", "b"),
        features=features,
        parameters=1,
        licence="MIT",
        source="",
    )


def test_outputs_are_compared_with_the_float_models() -> None:
    from export.core.figures.fidelity import EQUAL_DB
    from export.measuring.float_reference import FloatReference, compare_outputs

    expected = np.array([[3, 1], [1, 3], [2, 1], [1, 2]], np.float32)
    labels = np.array([0, 1, 1, 0], np.int64)
    reference = FloatReference(spec_of(False), [b""] * 4, labels, expected, 1)
    found = {metric: figure for metric, _, figure in compare_outputs(reference, expected * np.float32(1.1))}
    assert found["top1"].value == 0.5 and found["agreement"].value == 1.0
    assert found["sqnr_db"].value == pytest.approx(20.0, abs=1e-4)
    turned = {metric: figure for metric, _, figure in compare_outputs(reference, expected[:, ::-1])}
    assert turned["agreement"].value == 0.0
    assert {m: f for m, _, f in compare_outputs(reference, expected)}["sqnr_db"].value == EQUAL_DB
    unlabelled = compare_outputs(dataclasses.replace(reference, labels=None), expected)
    assert [metric for metric, _, _ in unlabelled] == ["sqnr_db", "agreement"]


def test_features_are_compared_by_their_angle() -> None:
    from export.measuring.float_reference import FloatReference, compare_outputs

    reference = FloatReference(spec_of(True), [b""] * 2, None, np.array([[1, 0], [1, 1]], np.float32), 1)
    found = {m: f for m, _, f in compare_outputs(reference, np.array([[2, 0], [2, 2]], np.float32))}
    assert set(found) == {"cosine", "sqnr_db"} and found["cosine"].low == pytest.approx(1.0)


def test_outputs_that_are_not_numbers_are_an_error() -> None:
    from export.measuring.float_reference import FloatReference, compare_outputs

    reference = FloatReference(spec_of(False), [b""] * 2, None, np.ones((2, 2), np.float32), 1)
    with pytest.raises(MeasurementError, match="1 of 2 images have NaN or infinite outputs, the first is image 1"):
        compare_outputs(reference, np.array([[1, 2], [np.nan, 1]], np.float32))
