"""Jobs on a Ray cluster: beyond one machine, and in spite of machines that go away."""

from typing import Any

from export.comparing.grid.job import Failure, Job
from export.comparing.grid.processes import Crew, Fail, Keep, run_here, run_in_processes
from export.comparing.grid.schedule import HEADROOM, Schedule
from export.comparing.grid.worker import Failed, attempt
from export.core.console import say
from export.core.errors import RequestError

LOCAL = "local"
RETRIES = 3  # of a job whose machine or process goes away


def run_on_ray(address: str, schedule: Schedule, crew: Crew, keep: Keep, fail: Fail) -> None:
    """Do all jobs but those that run alone on a cluster; those are timings of one machine, and run here in the end.

    `address` is that of a cluster, `auto` for the one that this machine belongs to, or `local` for one on this machine.
    Data, artifacts and results must have the same paths on all its machines, as on a shared file system, and this
    package must be installed there. Raises `RequestError` where there is no such cluster.
    """
    alone = [job for job in schedule.waiting.values() if job.alone]
    for job in alone:
        del schedule.waiting[job.key]
    if schedule.waiting:
        _run(address, schedule, keep, fail)
    schedule.waiting.update({job.key: job for job in alone})
    for failure in schedule.drop_doomed():
        fail(failure)
    if schedule.waiting:
        run = run_in_processes if crew.devices else run_here
        run(schedule, crew, keep, fail)


def _run(address: str, schedule: Schedule, keep: Keep, fail: Fail) -> None:
    import ray

    started = not ray.is_initialized()
    if started:
        _connect(ray, address)
    try:
        pending: dict[Any, Job] = {}
        while not schedule.is_done:
            while (job := schedule.begin()) is not None:
                pending[_submit(ray, job, schedule.peaks.get(job.group))] = job
            for reference in ray.wait(list(pending))[0]:
                _settle(ray, reference, pending.pop(reference), schedule, keep, fail)
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=None if address == LOCAL else address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"--ray {address}: there is no such cluster: {str(error).strip().splitlines()[0]}",
            hint="start one with: ray start --head; or pass --ray local",
        ) from error
    resources = ray.cluster_resources()
    say(f"Ray: {len(ray.nodes())} machines, {resources.get('CPU', 0):.0f} cores, {resources.get('GPU', 0):.0f} GPUs")


def _submit(ray: Any, job: Job, peak: int | None) -> Any:
    on_gpu = ray.cluster_resources().get("GPU", 0) > 0
    task = ray.remote(_attempt).options(
        name=job.subject,
        num_cpus=1,
        num_gpus=1 if on_gpu else 0,
        memory=None if peak is None else int(HEADROOM * peak),
        max_retries=RETRIES,
    )
    return task.remote(job, "cuda" if on_gpu else "cpu")


def _attempt(job: Job, device: str) -> Any:
    return attempt(job, device, threads=1)


def _settle(ray: Any, reference: Any, job: Job, schedule: Schedule, keep: Keep, fail: Fail) -> None:
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:  # it was tried again and again, and its machine or process went away
        answer = Failed(f"Ray gave it up: {str(error).strip().splitlines()[0][:300]}", str(error))
    if isinstance(answer, Failed):
        fail(Failure(job, answer.message, answer.details))
        for failure in schedule.fail(job):
            fail(failure)
        return
    keep(answer)
    schedule.finish(job, answer)
