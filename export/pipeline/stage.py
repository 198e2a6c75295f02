"""What a stage is given to make one artifact, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.core.environment.machine import usable_cores
from export.models.choice.request import ModelRequest
from export.quantization.recipes import Recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.conversion.converter_process import Converter
    from export.core.figures.fidelity import Comparison

SHARED = ".shared"  # in a model's workspace: what its stages have in common, until the build ends
Tools = Callable[[], "Converter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The making of one artifact.

    `parents` are the folders of the parents' artifacts, by format. `folder` is empty when `make` is called, and is what
    `make` fills; nothing lies there before. `workspace` is the model's own folder, where an interrupted run may leave
    what a later one goes on from; `log` takes what tools print. `tools` returns the converter process, started when it
    is first called; `warm_up` starts it ahead where a later stage of the build will call it. `tell` says what a person
    should see. `data` are images to calibrate on, `resources` what that may use, and `cores` returns how many
    processors are free for it. `twin` returns a second converter, where there is room for one. `runner` names the
    module that runs the artifact that a self-test is about. `memory` is what `options` worked out and `make` needs
    again.
    """

    request: ModelRequest
    format: str
    recipe: Recipe
    parents: Mapping[str, Path]
    folder: Path
    workspace: Path
    log: Path
    tools: Tools
    warm_up: Callable[[], None]
    tell: Callable[[str], None]
    data: Path | None = None
    resources: Resources = DEFAULT_RESOURCES
    cores: Callable[[], int] = usable_cores
    twin: Callable[[], "Converter | None"] = lambda: None
    runner: str = ""
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage made: how it compares with its parents, each within its bound, and what the runtime multiplies."""

    comparisons: tuple["Comparison", ...] = ()
    compute_dtype: str = "float32"


class StageModule(Protocol):
    """A module that makes artifacts of one or more formats.

    It may also have `options(stage)`, which returns as JSON values what decides the bytes beside parents, recipe, tools
    and code, and, for a format that a page loads, `run`, which runs an artifact as `RunnerModule` says.
    """

    def make(self, stage: Stage) -> Outcome:
        """Fill `stage.folder`."""


class RunnerModule(Protocol):
    """A module that runs artifacts."""

    def run(self, folder: Path, inputs: "NDArray[np.float32]", tools: Tools, log: Path) -> "NDArray[np.float32]":
        """Run the artifact in `folder` on inputs `[n, 3, H, W]`, one at a time, and return outputs `[n, K]`."""
