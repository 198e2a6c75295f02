"""Jobs in processes of this machine: one for each GPU where there are GPUs, else one for each core or two."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from export.comparing.grid.job import Failure, Job, JobResult
from export.comparing.grid.schedule import Schedule
from export.comparing.grid.worker import Failed, attempt, work
from export.core.environment.machine import free_memory
from export.core.interrupts import start_beside

CPU = "cpu"
Keep = Callable[[JobResult], None]
Fail = Callable[[Failure], None]


@dataclass(frozen=True, slots=True)
class Crew:
    """Where jobs run: a process on each of the `devices`, named as `--device` has it; none: in this process itself.

    `memory` in bytes bounds what all take together; None is what is free.
    """

    devices: tuple[str, ...]
    memory: int | None = None

    def threads(self, job: Job) -> int:
        """Return how many threads a job may use: all cores where it is alone."""
        return available_cores() if job.alone else max(1, available_cores() // max(1, len(self.devices)))


def available_cores() -> int:
    """Return how many threads PyTorch may have: as many as `OMP_NUM_THREADS` says, else as there are cores."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() and int(stated) > 0 else os.cpu_count() or 1


@dataclass
class _Worker:
    device: str
    connection: Connection = field(init=False)
    process: BaseProcess = field(init=False)
    job: Job | None = None

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.device))
        start_beside(self.process)
        theirs.close()

    def give(self, job: Job, threads: int) -> None:
        self.job = job
        self.connection.send((job, threads))

    def stop(self) -> None:
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def resident(self) -> int:
        """Return the bytes of memory that the process has now, where the system tells."""
        path = Path(f"/proc/{self.process.pid}/status")
        try:
            line = next(line for line in path.read_text("utf-8").splitlines() if line.startswith("VmRSS:"))
        except (OSError, StopIteration):
            return 0
        return int(line.split()[1]) * 1024


def run_here(schedule: Schedule, crew: Crew, keep: Keep, fail: Fail) -> None:
    """Do all jobs one after another in this process, which a crash of theirs would end too."""
    while (job := schedule.begin()) is not None:
        _settle(schedule, job, attempt(job, CPU, crew.threads(job)), keep, fail)


def run_in_processes(schedule: Schedule, crew: Crew, keep: Keep, fail: Fail) -> None:
    """Do all jobs; a process that ends without an answer is replaced, and its job tried once more, alone."""
    workers: list[_Worker] = []
    retried: set[str] = set()
    schedule.memory = lambda: (
        crew.memory if crew.memory is not None else free_memory() + sum(worker.resident() for worker in workers)
    )
    try:
        while not schedule.is_done:
            _give_out(schedule, crew, workers)
            busy = {worker.connection: worker for worker in workers if worker.job is not None}
            for connection in wait(list(busy)):
                _receive(busy[connection], schedule, retried, keep, fail)  # type: ignore[index]
    finally:
        for worker in workers:
            worker.stop()


def _give_out(schedule: Schedule, crew: Crew, workers: list[_Worker]) -> None:
    """Give jobs to idle processes, and start those that are not there yet."""
    while any(worker.job is None for worker in workers) or len(workers) < len(crew.devices):
        if (job := schedule.begin()) is None:
            return
        idle = next((worker for worker in workers if worker.job is None), None)
        if idle is None:
            idle = _Worker(crew.devices[len(workers)])
            workers.append(idle)
            idle.start()
        idle.give(job, crew.threads(job))


def _receive(worker: _Worker, schedule: Schedule, retried: set[str], keep: Keep, fail: Fail) -> None:
    job = worker.job
    assert job is not None
    worker.job = None
    try:
        answer = worker.connection.recv()
    except (EOFError, OSError):
        worker.stop()
        ended = _describe_end(worker.process.exitcode)
        worker.start()
        if job.key not in retried:
            retried.add(job.key)
            schedule.again(job)
            return
        answer = Failed(f"its process {ended}, twice; the second time it ran alone", "")
    _settle(schedule, job, answer, keep, fail)


def _describe_end(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    memory = ", as when memory runs out" if code == -signal.SIGKILL else ""
    return f"was ended by signal {-code}{memory}"


def _settle(schedule: Schedule, job: Job, answer: JobResult | Failed, keep: Keep, fail: Fail) -> None:
    if isinstance(answer, JobResult):
        keep(answer)
        schedule.finish(job, answer)
        return
    fail(Failure(job, answer.message, answer.details))
    for failure in schedule.fail(job):
        fail(failure)
