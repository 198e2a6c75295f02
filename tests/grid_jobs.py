"""A job that needs neither PyTorch nor a model, for tests of the grid: it does what its options say."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from export.comparing.grid.job import Job
from export.core.errors import RequestError


def run(options: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """Note that the job began, do what is asked for, and return a number; `places` has the folder of notes."""
    folder, name, what = Path(places["folder"]), options["name"], options["do"]
    with (folder / f"{name}.begun").open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    begun = len((folder / f"{name}.begun").read_text().splitlines())
    if what == "fail":
        raise RequestError(f"{name} cannot be done", hint="leave it out")
    if what == "crash" or (what == "crash once" and begun == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("wait for "):
        while not (folder / what.removeprefix("wait for ")).exists():
            time.sleep(0.02)
    print(f"note: {name} was here")
    return {"squared": options["number"] ** 2}


def job(folder: Path, name: str, do: str = "", *, number: int = 3, **more: Any) -> Job:
    """Return a job by its name, which is its key."""
    options = {"name": name, "do": do, "number": number}
    places = {"folder": str(folder)}
    return Job(module=__name__, subject=name, options=options, places=places, key=name, **({"group": "jobs"} | more))


def times_begun(folder: Path, name: str) -> int:
    """Return how often a job was begun."""
    notes = folder / f"{name}.begun"
    return len(notes.read_text().splitlines()) if notes.exists() else 0
