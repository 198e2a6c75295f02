"""One job, done in whichever process; and the process that does one after another."""

import contextlib
import importlib
import io
import os
import platform
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from export.comparing.grid.job import SCHEMA_VERSION, Job, JobResult
from export.core.environment.extras import explain
from export.core.errors import ExportError
from export.quantization.evaluation.memory import process_peak


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a job failed, in a form that passes between processes."""

    message: str
    details: str


def run_job(job: Job, device: str, threads: int) -> JobResult:
    """Do a job on a device, named as `--device` has it, with so many threads of PyTorch; raises what it does."""
    run = importlib.import_module(job.module).run
    if (torch := sys.modules.get("torch")) is not None:  # not all jobs need it
        torch.set_num_threads(threads)
    said = io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stdout(said), process_peak() as peak:
        result = run(job.options, job.places | {"device": device})
    return JobResult(
        schema_version=SCHEMA_VERSION,
        key=job.key,
        module=job.module,
        subject=job.subject,
        group=job.group,
        options=job.options,
        result=result,
        notes=tuple(line.strip() for line in said.getvalue().splitlines() if line.strip()),
        seconds=time.perf_counter() - started,
        peak_bytes=peak.bytes,
        host=platform.node(),
    )


def attempt(job: Job, device: str, threads: int) -> JobResult | Failed:
    """Do a job; a failure of any kind is its own affair, and never that of the others."""
    try:
        return run_job(job, device, threads)
    except ExportError as error:
        return Failed(error.message, f"{error}\n\n{traceback.format_exc()}")
    except ModuleNotFoundError as error:
        found = explain(error)
        return Failed(f"{found[0]}; {found[1]}" if found else f"{error}", traceback.format_exc())
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return Failed(f"{type(error).__name__}: {lines[0][:300]}", traceback.format_exc())


def work(connection: Connection, device: str) -> None:
    """Do the jobs that come through a connection until it is closed; what a process of its own runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair, who ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            job, threads = connection.recv()
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):  # bars of several processes would overwrite each other
                answer = attempt(job, device, threads)
            if isinstance(answer, Failed):
                answer = Failed(answer.message, f"{answer.details}\n{errors.getvalue()}")
            connection.send(answer)


def _end_with_parent() -> None:
    """End this process when its parent is gone, killed for instance: nobody would keep what it finds."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
