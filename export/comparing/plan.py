"""From what is asked for to the jobs of the grid: which there are of each model, and what decides each of them."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from export.comparing.grid.job import Job, make_job
from export.comparing.grid.processes import available_cores
from export.comparing.variations import FLOAT, Variation
from export.core.environment.machine import cpu_model
from export.core.errors import RequestError
from export.core.files import hash_json
from export.data.archives import list_files
from export.models.choice.request import ModelRequest, describe
from export.quantization.evaluation.selection import BASELINES

JOBS = "export.comparing.jobs"
TOOLS = ("torch", "timm", "numpy")
BATCHES, SECONDS = (1, 32), 0.2
PEER_RECIPES, PEER_ENGINE = ("w8a8_gptq",), "vit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to compare, on what, and where to keep it.

    `rounds` are those of timing, 0 for none; `peers` also times other runtimes, the browser among them; `operators`
    also lists what can be quantized.
    """

    models: tuple[ModelRequest, ...]
    variations: tuple[Variation, ...]
    data: Path | None
    calibration_data: Path | None
    limit: int | None
    rounds: int
    peers: bool
    operators: bool
    artifacts: Path
    out: Path


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The jobs of one model; `evaluations` belong to the request's variations, in their order."""

    model: ModelRequest
    float_row: Job
    evaluations: tuple[Job, ...]
    others: tuple[Job, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All of them."""
        return self.float_row, *self.evaluations, *self.others


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all jobs of one model have in common: what decides results, and where things lie."""

    model: ModelRequest
    options: dict[str, Any]
    places: dict[str, Any]

    def job(self, name: str, subject: str, options: dict[str, Any], group: str, **more: Any) -> Job:
        return make_job(
            f"{JOBS}.{name}",
            f"{self.model.name} {subject}",
            {"model": self.options["model"], "tools": self.options["tools"]} | options,
            self.places,
            group=f"{group} {self.model.name}",
            **more,
        )


def identify(data: Path | None) -> list[Any] | None:
    """Return what tells a folder or archive of images from others: its name, and its files by name and size.

    Raises `RequestError` where there is none.
    """
    if data is None:
        return None
    if not data.exists():
        raise RequestError(f"--data {data}: no such folder or file", hint="check the path")
    names = list_files(data, lambda note: None)
    if data.is_file():
        return [data.name, data.stat().st_size, hash_json(names)]
    sizes = [[name, (data / name).stat().st_size if (data / name).is_file() else 0] for name in names]
    return [data.absolute().name, hash_json(sizes)]


def plan_model(request: Request, model: ModelRequest, artifact: Path) -> ModelPlan:
    """Return the jobs of a model whose float artifact is in a folder."""
    shared = _share(request, model, artifact)
    float_row = _evaluation(shared, Variation(FLOAT), group="float")
    evaluations = tuple(
        _evaluation(shared, variation, group=f"{variation.images or 0} images", after=(float_row.key,))
        for variation in request.variations
    )
    return ModelPlan(model, float_row, evaluations, tuple(_others(request, shared)))


def _share(request: Request, model: ModelRequest, artifact: Path) -> _Shared:
    options = {
        "model": describe(model),
        "tools": {name: version(name) for name in TOOLS},
        "data": identify(request.data),
        "calibration": identify(request.calibration_data),
        "limit": request.limit,
    }
    outputs = request.out / "outputs" / f"{hash_json(options)[:16]}.npy"
    places = {
        "artifact": str(artifact.absolute()),
        "artifacts": str(request.artifacts.absolute()),
        "outputs": str(outputs.absolute()),
        "data": str(request.data.absolute()) if request.data else "",
        "calibration": str(request.calibration_data.absolute()) if request.calibration_data else "",
        "work": str((request.out / "work" / model.name).absolute()),
        "request": msgspec.to_builtins(model, enc_hook=str),
    }
    return _Shared(model, options, places)


def _evaluation(shared: _Shared, variation: Variation, *, group: str, after: Sequence[str] = ()) -> Job:
    recipe = variation.recipe if isinstance(variation.recipe, str) else variation.recipe.to_json()
    return shared.job("evaluate", str(variation), shared.options | {"recipe": recipe}, group, after=tuple(after))


def _others(request: Request, shared: _Shared) -> list[Job]:
    """Return the jobs beside the evaluations; timings hold for one machine, which is part of what decides them."""
    machine = {"cpu": cpu_model(), "host": platform.node(), "cores": available_cores(), "rounds": request.rounds}
    jobs = []
    if request.operators:
        jobs.append(shared.job("operators", "operators", {}, "operators"))
    timed = [
        FLOAT,
        *(one.recipe for one in request.variations if isinstance(one.recipe, str) and one.recipe in BASELINES),
    ]
    if request.rounds and len(timed) > 1:
        options = machine | {"recipes": timed, "batches": list(BATCHES), "seconds": SECONDS}
        jobs.append(shared.job("throughput", "throughput", options, "throughput", alone=True))
    if request.peers:
        threads = sorted({1, available_cores()})
        options = machine | {"threads": threads, "recipes": list(PEER_RECIPES), "engine": PEER_ENGINE}
        options["calibration"] = shared.options["calibration"]
        jobs.append(shared.job("peers", "other runtimes", options, "peers", alone=True))
    return jobs
