"""The times of builds: which cases are measured, what is written of them, and the bars that they are held to."""

import json
from pathlib import Path

import pytest

from export.core.errors import MeasurementError, RequestError
from export.measuring import builds
from export.measuring.builds import find_cases, measure_builds
from export.page.reports.measured.builds import CASES, BuildRow, BuildTimes, Case, builds_section, read_builds, verdicts

ROW = BuildRow(
    case="deit_t",
    seconds=130.0,
    cpu_seconds=201.5,
    peak_bytes=2_000_000_000,
    stages={"safetensors w8a8_gptq": 20.0, "safetensors w4a8_gptq": 12.0, "tf_tfjs f32": 45.0},
)
TIMES = BuildTimes(schema_version=1, cpu="A CPU", logical_cores=2, os="Debian", python="3.12.1", torch="2", rows=(ROW,))


def test_cases_come_behind_what_they_go_on_from() -> None:
    assert find_cases([]) == list(CASES)
    assert find_cases(["load", "unchanged"]) == ["deit_t", "unchanged", "load"]
    with pytest.raises(RequestError, match="--case nothing: there is none"):
        find_cases(["nothing"])


@pytest.mark.slow
def test_the_load_of_an_embedded_model_is_measured(tmp_path: Path) -> None:
    (row,) = measure_builds(["load"], tmp_path / "builds.json").rows
    assert row.case == "load" and row.seconds > 0 and row.cpu_seconds > 0 and not row.stages


def test_a_case_is_measured_and_kept_beside_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builds.CASES, "large", Case(title="large", python=("-c", "large = b'1' * 60_000_000")))
    path = tmp_path / "builds.json"
    times = measure_builds(["large"], path)
    (row,) = times.rows
    assert row.seconds > 0 and row.cpu_seconds > 0 and row.peak_bytes > 60_000_000 and not row.stages
    other = ROW.to_json()
    path.write_text(json.dumps(times.to_json() | {"rows": [other, row.to_json()]}))
    assert [row.case for row in measure_builds(["large"], path).rows] == ["deit_t", "large"]
    path.write_text(json.dumps(times.to_json() | {"cpu": "another one", "rows": [other]}))
    assert [row.case for row in measure_builds(["large"], path).rows] == ["large"]


def test_a_case_that_fails_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Case(title="failing", python=("-c", "import sys; print('no such model'); sys.exit(3)"))
    monkeypatch.setitem(builds.CASES, "failing", failing)
    with pytest.raises(MeasurementError, match="exit code 3:\n    no such model"):
        measure_builds(["failing"], tmp_path / "builds.json")
    assert not (tmp_path / "builds.json").exists()


def test_the_tables_say_what_was_measured_and_what_was_not() -> None:
    section = builds_section(TIMES)
    assert "| `python -m export.build --model deit_t --weights random` | 130 s | 32.0 s |" in section
    assert "`deit_t`, default recipes: time | 130 s | ≤ 120 s | FAIL |" in section
    assert (
        "`deit_t`, `--engine vit`: calibration alone: calibration | not measured | ≤ 50.0 s | not measured |" in section
    )
    assert "`vit_b`, `w8a8_gptq`, 128 images: peak memory | not measured | ≤ 6.00\u00a0GB | not measured |" in section
    assert "PTQ4ViT's own code, measured once, separately | 1,031 s |" in section
    assert [verdict.result for verdict in verdicts(TIMES)] == ["FAIL"]


@pytest.mark.parametrize("content", ["", "{}", json.dumps(TIMES.to_json() | {"schema_version": 9})])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "builds.json"
    path.write_text(content)
    with pytest.raises(RequestError, match=r"of build times|another version"):
        read_builds(path)
