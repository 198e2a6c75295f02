"""Independent jobs: what each does, the hash of all that decides it, and the file of what came of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.console import say
from export.core.errors import ArtifactError
from export.core.files import hash_json, write_atomically
from export.core.schema import Count, NonNegative, Record
from export.core.source_code import code_key

SCHEMA_VERSION = 1


class Job(Record, frozen=True, kw_only=True):
    """A piece of work that needs no other's memory: the function `run` of one of our modules, from options and places.

    `key` is the hash of all that decides the result: `module` with its code, and `options`. `places` are where things
    lie, and decide nothing. Jobs of one `group` need about as much memory as each other; one that is `alone`, a timing
    for instance, runs while nothing else does. It begins when the jobs of the keys in `after` are done.
    """

    module: str
    subject: str
    options: dict[str, Any]
    places: dict[str, str]
    key: str
    group: str
    alone: bool = False
    after: tuple[str, ...] = ()


def make_job(
    module: str,
    subject: str,
    options: dict[str, Any],
    places: dict[str, str],
    *,
    group: str,
    alone: bool = False,
    after: tuple[str, ...] = (),
) -> Job:
    """Return the job of a module such as `export.comparing.jobs.evaluate`, with its key."""
    key = hash_json([module, options, code_key(module)])
    return Job(
        module=module, subject=subject, options=options, places=places, key=key, group=group, alone=alone, after=after
    )


class JobResult(Record, frozen=True, kw_only=True):
    """What came of a job: `result` is what its function returned; `notes` are what it said meanwhile.

    `peak_bytes` is the peak memory of the process that did it, None where the system does not tell; `host` its machine.
    """

    schema_version: int
    key: str
    module: str
    subject: str
    group: str
    options: dict[str, Any]
    result: dict[str, Any]
    notes: tuple[str, ...]
    seconds: NonNegative
    peak_bytes: Count | None
    host: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that failed: the `message` is one line, `details` are what there is for whoever looks for the reason."""

    job: Job
    message: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder with a file for every finished job, and one for every job that failed last time."""

    path: Path

    def read(self, key: str) -> JobResult | None:
        """Return a finished job's result, or None; a file that is not one is said to be, and its job is done again."""
        path = self.path / f"{key}.json"
        if not path.is_file():
            return None
        try:
            found = JobResult.parse(path.read_bytes())
        except (OSError, ArtifactError) as error:
            say(f"note: {path} is no result and is made again: {error}")
            return None
        return found if found.schema_version == SCHEMA_VERSION and found.key == key else None

    def peaks(self) -> dict[str, int]:
        """Return the largest peak memory of each group of all finished jobs, in bytes."""
        peaks: dict[str, int] = {}
        for path in sorted(self.path.glob("*.json")):
            found = self.read(path.stem)
            if found is not None and found.peak_bytes is not None:
                peaks[found.group] = max(peaks.get(found.group, 0), found.peak_bytes)
        return peaks

    def keep(self, result: JobResult) -> None:
        """Write a result, whole or not at all, by a rename."""
        write_atomically(self.path / f"{result.key}.json", _json(result.to_json()))
        self._failure(result.key).unlink(missing_ok=True)

    def keep_failure(self, failure: Failure) -> Path:
        """Write why a job failed, and return the file."""
        path = self._failure(failure.job.key)
        write_atomically(path, f"{failure.job.subject}: {failure.message}\n\n{failure.details}\n".encode())
        return path

    def _failure(self, key: str) -> Path:
        return self.path / f"{key}.failed.txt"


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
