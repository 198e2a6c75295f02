"""Which job may begin: in their order, after those it needs, alone where it must be, within the memory there is."""

from collections.abc import Callable, Mapping, Sequence

from export.comparing.grid.job import Failure, Job, JobResult

HEADROOM = 1.25  # what a job is allowed to need, relative to the largest of its group so far


class Schedule:
    """The jobs that are waiting and running; `finished` are the keys of those done earlier.

    `peaks` are the peak memories in bytes known of groups; `memory` tells how much there is for all jobs together, None
    where that is not this machine's affair. The first job of a group of which nothing is known runs alone, so that it
    is measured.
    """

    def __init__(
        self, jobs: Sequence[Job], *, finished: set[str], peaks: Mapping[str, int], memory: Callable[[], int] | None
    ) -> None:
        self.waiting = {job.key: job for job in jobs}
        self.running: dict[str, Job] = {}
        self.finished, self.peaks, self.memory = set(finished), dict(peaks), memory
        self.failed: dict[str, Job] = {}

    def begin(self) -> Job | None:
        """Return a job that begins now, or None while none can."""
        ready = [job for job in self.waiting.values() if self.finished.issuperset(job.after)]
        together = [job for job in ready if not job.alone]
        for job in together:
            if self._fits(job):
                return self._start(job)
        if not self.running and ready and not together:
            return self._start(ready[0])
        return None

    def _fits(self, job: Job) -> bool:
        if any(other.alone for other in self.running.values()):
            return False
        if not self.running or self.memory is None:
            return True
        together = (job, *self.running.values())
        if any(one.group not in self.peaks for one in together):
            return False
        return HEADROOM * sum(self.peaks[one.group] for one in together) <= self.memory()

    def _start(self, job: Job) -> Job:
        self.running[job.key] = self.waiting.pop(job.key)
        return job

    def finish(self, job: Job, result: JobResult) -> None:
        """Take a result into account."""
        del self.running[job.key]
        self.finished.add(job.key)
        if result.peak_bytes is not None:
            self.peaks[job.group] = max(self.peaks.get(job.group, 0), result.peak_bytes)

    def again(self, job: Job) -> None:
        """Let a job wait again whose process was ended from outside: alone, in case memory was the reason."""
        self.waiting[job.key] = self.running.pop(job.key)
        self.peaks.pop(job.group, None)

    def fail(self, job: Job) -> list[Failure]:
        """Take a failure into account; return those of the jobs that needed it."""
        del self.running[job.key]
        self.failed[job.key] = job
        return self.drop_doomed()

    def drop_doomed(self) -> list[Failure]:
        """Let no job wait for one that failed; return why each of these failed too."""
        failures: list[Failure] = []
        while doomed := next((one for one in self.waiting.values() if self.failed.keys() & set(one.after)), None):
            needed = next(self.failed[key] for key in doomed.after if key in self.failed)
            failures.append(Failure(doomed, f"it needs {needed.subject}, which failed"))
            self.failed[doomed.key] = self.waiting.pop(doomed.key)
        return failures

    @property
    def is_done(self) -> bool:
        """Whether nothing waits or runs."""
        return not self.waiting and not self.running
