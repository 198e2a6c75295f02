"""The grid of jobs: nothing is done twice, a failure stays its own, and memory bounds what runs at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grid_jobs import job, times_begun

from export.comparing.grid.job import Job, JobFolder, JobResult
from export.comparing.grid.processes import Crew
from export.comparing.grid.run import run_grid
from export.comparing.grid.schedule import Schedule
from export.core.errors import ExportError

TWO, HERE = Crew(("cpu", "cpu")), Crew(())
TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("crew", [TWO, HERE], ids=["two processes", "this process"])
def test_results_are_kept_and_not_made_again(crew: Crew, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job(tmp_path, name, number=number) for number, name in enumerate("abc")]
    first = run_grid([*jobs, jobs[0]], tmp_path / "jobs", crew)
    assert [result.result["squared"] for result in first.results.values()] == [0, 1, 4] and not first.failures
    assert "note: a was here" in capsys.readouterr().out
    again = run_grid(jobs, tmp_path / "jobs", crew)
    assert again.results == first.results and [times_begun(tmp_path, name) for name in "abc"] == [1, 1, 1]
    (tmp_path / "jobs/b.json").write_text("{")
    assert run_grid(jobs, tmp_path / "jobs", crew).results.keys() == {"a", "b", "c"}
    assert [times_begun(tmp_path, name) for name in "abc"] == [1, 2, 1]


@pytest.mark.parametrize("crew", [TWO, HERE], ids=["two processes", "this process"])
def test_a_failing_job_is_reported_and_the_others_go_on(crew: Crew, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "bad", "fail"), job(tmp_path, "needs", after=("bad",)), job(tmp_path, "good")]
    grid = run_grid(jobs, tmp_path / "jobs", crew)
    assert set(grid.results) == {"good"}
    assert [(one.job.subject, one.message) for one in grid.failures] == [
        ("bad", "bad cannot be done"),
        ("needs", "it needs bad, which failed"),
    ]
    assert "leave it out" in (tmp_path / "jobs/bad.failed.txt").read_text()
    with pytest.raises(ExportError, match="2 of 3 jobs failed") as raised:
        grid.check()
    assert raised.value.exit_code == 1


def test_a_process_that_ends_is_replaced_and_its_job_tried_once_more(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "once", "crash once"), job(tmp_path, "always", "crash"), job(tmp_path, "other")]
    grid = run_grid(jobs, tmp_path / "jobs", TWO)
    assert set(grid.results) == {"once", "other"}
    assert [times_begun(tmp_path, name) for name in ("once", "always", "other")] == [2, 2, 1]
    assert "signal 9, as when memory runs out, twice" in grid.failures[0].message


def test_two_jobs_run_at_once_and_one_that_is_alone_does_not(tmp_path: Path) -> None:
    """Each of two jobs ends only when the other has begun; the one that is alone begins when both are done."""
    measured = [job(tmp_path, "first")]
    run_grid(measured, tmp_path / "jobs", TWO)
    pair = [job(tmp_path, "a", "wait for b.begun"), job(tmp_path, "b", "wait for a.begun")]
    timing = job(tmp_path, "timing", alone=True)
    grid = run_grid([timing, *pair], tmp_path / "jobs", TWO)
    assert set(grid.results) == {"a", "b", "timing"}
    begun = (tmp_path / "timing.begun").stat().st_mtime_ns
    assert all((tmp_path / f"jobs/{name}.json").stat().st_mtime_ns < begun for name in "ab")


def result_of(one: Job, peak: int | None) -> JobResult:
    return JobResult(
        schema_version=1,
        key=one.key,
        module=one.module,
        subject=one.subject,
        group=one.group,
        options={},
        result={},
        notes=(),
        seconds=1.0,
        peak_bytes=peak,
        host="",
    )


def test_memory_bounds_what_runs_at_once(tmp_path: Path) -> None:
    jobs = [job(tmp_path, str(number)) for number in range(5)]
    schedule = Schedule(jobs, finished=set(), peaks={}, memory=lambda: 300)
    first = schedule.begin()
    assert first is not None and schedule.begin() is None, "the first of a group is measured alone"
    schedule.finish(first, result_of(first, 100))
    begun = [schedule.begin(), schedule.begin(), schedule.begin()]
    assert [one is not None for one in begun] == [True, True, False], "two of 125 fit into 300, three do not"
    assert begun[0] is not None
    schedule.finish(begun[0], result_of(begun[0], 200))
    assert schedule.begin() is None, "a job of the group has turned out larger"


def test_one_job_runs_even_where_memory_is_short(tmp_path: Path) -> None:
    schedule = Schedule([job(tmp_path, "a"), job(tmp_path, "b")], finished=set(), peaks={"jobs": 10}, memory=lambda: 1)
    assert schedule.begin() is not None and schedule.begin() is None


def test_peaks_of_earlier_runs_are_known(tmp_path: Path) -> None:
    run_grid([job(tmp_path, "a")], tmp_path / "jobs", HERE)
    peaks = JobFolder(tmp_path / "jobs").peaks()
    if sys.platform == "linux":
        assert peaks["jobs"] > 1_000_000


def test_kill_9_costs_no_finished_job(tmp_path: Path) -> None:
    """The run is killed while one job is under way; its processes end too, and the next run does only the rest."""
    code = (
        "import sys; from pathlib import Path; from grid_jobs import job;"
        "from export.comparing.grid.run import run_grid; from export.comparing.grid.processes import Crew;"
        "folder = Path(sys.argv[1]);"
        "jobs = [job(folder, 'a'), job(folder, 'b', 'wait for go'), job(folder, 'c')];"
        "run_grid(jobs, folder / 'jobs', Crew(('cpu',)))"
    )
    script = tmp_path / "run.py"
    script.write_text(f"if __name__ == '__main__':\n    {code}\n")
    environment = os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    command = [sys.executable, str(script), str(tmp_path)]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "b.begun").exists() and running.poll() is None:
        time.sleep(0.02)
    worker = int((tmp_path / "b.begun").read_text())
    running.send_signal(signal.SIGKILL)
    running.wait()
    while Path(f"/proc/{worker}").exists() and "zombie" not in Path(f"/proc/{worker}/status").read_text():
        time.sleep(0.02)  # its job would go on for ever: nobody will let it go
    (tmp_path / "go").touch()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "1 of 3 jobs are done already" in done.stdout
    assert [times_begun(tmp_path, name) for name in "abc"] == [1, 2, 1]
