"""The report of faults: counted from the tests of all processes, read again, and shown beside what is aimed at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.core.errors import RequestError
from export.page.reports.faults import GROUPS, FaultRow, FaultsFile, Growth, faults_section, read_faults, verdicts

ROOT = Path(__file__).parents[3]
FILE = FaultsFile(
    schema_version=1,
    full=True,
    cpu="A CPU",
    logical_cores=2,
    os="Debian",
    python="3.12.1",
    node="v20",
    chromium="Chromium 1",
    seconds=600.0,
    rows=(
        FaultRow(group="inputs", tried=80, left_out=0, answered=80, wrong=0, hung=0, half_written=0),
        FaultRow(group="kills", tried=60, left_out=1, answered=57, wrong=0, hung=1, half_written=2),
    ),
    growth=(Growth(memory="page and worker", repeated="inferences", n=1000, before=10_000_000, after=10_100_000),),
)
# Tests of every outcome, as the plugin sees them.
TESTS = """
import pytest
from faulting import *

pytestmark = pytest.mark.faults("inputs")

def test_counts(tally):
    tally.count("answered", n=3)

@pytest.mark.parametrize("verdict", ["unclear", "wrong", "hung", "half_written"])
def test_fails(tally, verdict):
    tally.count("answered")
    tally.count(verdict, "this one")

def test_passes(): pass
def test_breaks(): assert False

@pytest.mark.skip
def test_is_not_tried(): pass

@pytest.mark.faults("kills")
def test_of_another_group(): pass
"""


def test_the_tables_say_what_became_of_each_group(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(FILE.to_json()))
    assert read_faults(path) == FILE
    section = faults_section(FILE)
    assert "Everything was tried, in 10 minutes." in section
    assert f"| {GROUPS['inputs'].title} | 80 | 80 (100 %) | 0 | 0 | 0 | 0 |" in section
    assert f"| {GROUPS['kills'].title} | 60 | 57 (95 %) | 0 | 1 | 2 | 1 |" in section
    assert f"| {GROUPS['network'].title} | not measured | all of 60 or more | not measured |" in section
    assert "| page and worker, 1,000 inferences | 10.0\u00a0MB | 10.1\u00a0MB |" in section
    passed = {verdict.criterion: verdict.passed for verdict in verdicts(FILE)}
    assert passed[GROUPS["inputs"].title] is True and passed[GROUPS["kills"].title] is False


@pytest.mark.parametrize("content", ["", "{}", json.dumps(FILE.to_json() | {"schema_version": 9})])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(content)
    with pytest.raises(RequestError, match=r"of faults|another version"):
        read_faults(path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_outcomes_are_counted(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text("from faulting import *\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    report = tmp_path / "faults.json"
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", "--rootdir", tmp_path]
    command += ["--faults-report", report, tmp_path]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        words = [*map(str, command), *options]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)

    done = run()
    assert done.returncode == 1 and "unclear: this one" in done.stdout, done.stdout + done.stderr
    rows = read_faults(report).rows
    assert rows[0] == FaultRow(group="inputs", tried=13, left_out=1, answered=8, wrong=1, hung=1, half_written=1)
    assert rows[1].group == "kills" and f"| {GROUPS['inputs'].title} | 13 |" in done.stdout
    if workers == "0":
        done = run("--faults-only", "kills")
        assert done.returncode == 0 and read_faults(report).rows == rows, done.stdout + done.stderr
        assert "the groups are inputs" in run("--faults-only", "all").stderr
        assert "of another machine" in run("--faults-only", "kills", "--faults-full").stderr
