"""How long stages take: as measured in earlier builds and kept beside the artifacts, or guessed by the model's size.

From that a build says how long it will go on.
"""

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from export.core.console import format_seconds
from export.core.errors import ArtifactError
from export.core.files import write_atomically
from export.core.schema import Count, NonNegative, Record, parse_json

FILE, SCHEMA_VERSION = "durations.json", 1
# Seconds on two cores for a model of so many parameters, by the beginning of the format's name: a first guess.
TYPICAL = {"torch": 8, "safetensors": 25, "onnx": 4, "tflite": 15, "tfjs": 10, "tf": 25, "vit": 4, "selftest": 3}
OTHER, TYPICAL_PARAMETERS = 5, 5.7e6
PAGE = ("page", "")  # the place of what follows when all models are built: the bundle and the pages

Place = tuple[str, str]  # a format and a recipe's name


class Duration(Record, frozen=True, kw_only=True):
    """The `seconds` that a stage took for a model of so many `parameters`."""

    model: str
    format: str
    recipe: str
    parameters: Count
    seconds: NonNegative


class DurationFile(Record, frozen=True, kw_only=True):
    """The whole of `durations.json`: the last duration of each stage of each model."""

    schema_version: int
    durations: tuple[Duration, ...]


class Durations:
    """The durations below one folder of artifacts."""

    def __init__(self, root: Path) -> None:
        self.path, self._lock = root / FILE, threading.Lock()
        self._known = {(one.model, one.format, one.recipe): one for one in self._read()}

    def _read(self) -> tuple[Duration, ...]:
        if not self.path.exists():
            return ()
        try:
            file = DurationFile.from_json(parse_json(self.path.read_bytes()))
        except ArtifactError:  # another version's, or damaged: only guesses depend on it, and the next build writes it
            return ()
        return file.durations if file.schema_version == SCHEMA_VERSION else ()

    def all(self) -> tuple[Duration, ...]:
        """Return all durations that are known."""
        return tuple(self._known.values())

    def add(self, duration: Duration) -> None:
        """Keep how long a stage has taken."""
        with self._lock:
            self._known[duration.model, duration.format, duration.recipe] = duration
            file = DurationFile(schema_version=SCHEMA_VERSION, durations=tuple(self._known.values()))
            write_atomically(self.path, (json.dumps(file.to_json(), indent=1) + "\n").encode())

    def estimate(self, model: str, place: Place, parameters: int) -> float:
        """Return the seconds that a stage will take: as for this model, else for one of another size, else typical."""
        format, recipe = place
        known = self._known.get((model, format, recipe))
        others = [one for one in self._known.values() if (one.format, one.recipe) == place and one.parameters]
        if known is None and others:
            known = min(others, key=lambda one: abs(one.parameters - parameters))
        if known is not None:
            return known.seconds * (parameters / known.parameters if known.parameters else 1.0)
        typical = next((seconds for name, seconds in TYPICAL.items() if format.startswith(name)), OTHER)
        return typical * parameters / TYPICAL_PARAMETERS if parameters else typical

    def add_page(self, seconds: float) -> None:
        """Keep how long the pages have taken."""
        format, recipe = PAGE
        self.add(Duration(model="", format=format, recipe=recipe, parameters=0, seconds=seconds))


class TimeLeft:
    """How long the stages that are still to be made will take; those `beside` run at the same time as all others.

    `after` are the seconds of what follows them.
    """

    def __init__(self, estimates: dict[Place, float], beside: Iterable[Place] = (), after: float = 0.0) -> None:
        self._left, self._beside, self._lock = dict(estimates), frozenset(beside), threading.Lock()
        self._after = after
        self._running: dict[Place, float] = {}
        self._expected = self._taken = 0.0

    def start(self, place: Place) -> None:
        """Note that a stage has begun."""
        with self._lock:
            self._running[place] = time.perf_counter()

    def finish(self, place: Place, seconds: float) -> None:
        """Note that a stage has ended, and how long it took."""
        with self._lock:
            self._running.pop(place, None)
            if place in self._left:
                self._expected += self._left.pop(place)
                self._taken += seconds

    def seconds(self) -> float:
        """Return the seconds left, at the pace so far."""
        with self._lock:
            pace = self._taken / self._expected if self._expected else 1.0
            now, lanes = time.perf_counter(), {True: 0.0, False: 0.0}
            for place, estimate in self._left.items():
                gone = now - self._running.get(place, now)
                lanes[place in self._beside] += max(0.0, estimate * pace - gone)
            return max(lanes.values()) + self._after

    def __str__(self) -> str:
        """Say it, or nothing where nothing is left."""
        left = self.seconds()
        return f"about {format_seconds(left)} left" if left >= 1 else ""
