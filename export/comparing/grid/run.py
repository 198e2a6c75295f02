"""The grid as a whole: what is finished is not done again, the rest is done, and what fails is reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.comparing.grid.job import Failure, Job, JobFolder, JobResult
from export.comparing.grid.processes import Crew, run_here, run_in_processes
from export.comparing.grid.ray_cluster import run_on_ray
from export.comparing.grid.schedule import Schedule
from export.core.console import Progress, format_seconds, say
from export.core.errors import ExportError
from export.core.figures.units import format_bytes


@dataclass(frozen=True, slots=True)
class Grid:
    """The results by key of the jobs that are done, and the failures of the others."""

    results: dict[str, JobResult]
    failures: tuple[Failure, ...]

    def check(self) -> None:
        """Raise `ExportError` when a job failed."""
        if self.failures:
            subjects = "; ".join(f"{failure.job.subject}: {failure.message}" for failure in self.failures)
            raise ExportError(
                f"{len(self.failures)} of {len(self.failures) + len(self.results)} jobs failed: {subjects}",
                hint="what the others found is kept; run the same command again to try only these again",
            )


def run_grid(jobs: Sequence[Job], folder: Path, crew: Crew, *, ray: str | None = None) -> Grid:
    """Do the jobs whose results are not in the folder yet; equal jobs are done once.

    Where `ray` is a cluster's address, they are done there. An interruption, even `kill -9`, costs no finished job.
    """
    store = JobFolder(folder)
    unique = {job.key: job for job in jobs}
    results = {key: found for key in unique if (found := store.read(key)) is not None}
    todo = [job for key, job in unique.items() if key not in results]
    if results:
        say(f"{len(results)} of {len(unique)} jobs are done already, in {folder}")
    failures: list[Failure] = []
    progress, said = Progress(len(todo)), set[str]()

    def keep(result: JobResult) -> None:
        store.keep(result)
        results[result.key] = result
        for note in result.notes:
            if note not in said:
                said.add(note)
                say(f"  {note}")
        memory = f", {format_bytes(result.peak_bytes)}" if result.peak_bytes else ""
        progress.step(f"{result.subject}: {format_seconds(result.seconds)}{memory}")

    def fail(failure: Failure) -> None:
        failures.append(failure)
        progress.step(f"{failure.job.subject}: FAILED, {failure.message}\n    see {store.keep_failure(failure)}")

    memory = None if ray else (lambda: 0)  # processes find out themselves
    schedule = Schedule(todo, finished=set(results), peaks=store.peaks(), memory=memory)
    if todo and ray:
        run_on_ray(ray, schedule, crew, keep, fail)
    elif todo and crew.devices:
        run_in_processes(schedule, crew, keep, fail)
    elif todo:
        run_here(schedule, crew, keep, fail)
    return Grid({key: results[key] for key in unique if key in results}, tuple(failures))
