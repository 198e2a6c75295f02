"""A build session: the artifacts of one model, each made only when it is not there as it should be."""

import shutil
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from export.core.console import say, stage
from export.core.environment.machine import free_memory, usable_cores
from export.core.figures.units import format_bytes
from export.core.files import hash_json
from export.core.records import Artifact, ModelSpec, ParentArtifact
from export.core.source_code import code_key
from export.models.choice.request import ModelRequest
from export.pipeline.beside import Beside
from export.pipeline.durations import PAGE, Duration, Durations, Place, TimeLeft
from export.pipeline.formats import FLOAT, FORMATS, Format, ancestry, graphs_of, needs_converter, parents_of
from export.pipeline.requirements import require_tools, tool_version
from export.pipeline.stage import SHARED, Stage, StageModule
from export.pipeline.store import Made, Plan, Store
from export.pipeline.verdict import accepted, agreement, held_to_bound
from export.quantization.recipes import Recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources

if TYPE_CHECKING:
    from export.conversion.converter_process import Converter, ConverterProcess

# Beside the first converter, for the sake of a second graph: what TensorFlow takes itself, and so often the weights.
CONVERTER_BYTES, COPIES_OF_WEIGHTS = 5e8, 8


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A stage that is known whole, its parents being there."""

    stage: Stage
    module: StageModule
    plan: Plan


class BuildSession:
    """The artifacts of one model, by format and recipe; a context manager, with which the converter process ends.

    Every stage starts from its parents' artifacts, never from memory. `data` are images to calibrate on, `resources`
    what that may use; with `force` everything is made anew. `expected` are the formats that will be asked for; raises
    `RequestError` when something that they need is not installed.
    """

    def __init__(
        self,
        request: ModelRequest,
        store: Store,
        *,
        force: bool = False,
        data: Path | None = None,
        resources: Resources = DEFAULT_RESOURCES,
        expected: Collection[str] = (),
    ) -> None:
        self.request, self.store, self.force, self.data, self.resources = request, store, force, data, resources
        require_tools(expected or ("torch",))
        self.workspace = store.root / request.name
        self.log = (self.workspace / "convert.log").absolute()
        self._unchanged = True  # until something is made
        self._obtained: dict[Place, Artifact] = {}
        self._prepared: dict[Place, _Prepared] = {}
        self._locks: dict[Place, threading.Lock] = {}
        self._pytorch = threading.Lock()  # its exporter has one state for all threads
        self._beside: Beside | None = None
        self._second: Beside | None = None
        self._durations, self._left = Durations(store.root), TimeLeft({})
        self._tools, self._starting = cast("ConverterProcess | None", None), threading.Lock()
        self._expects_converter = any("tensorflow" in FORMATS[name].tools for name in ancestry(expected))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.workspace / SHARED, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        beside = [one for one in (self._beside, self._second) if one]
        for one in beside:
            one.stop()
        self._stack.close()  # ends the converter process, and with it what the threads wait for
        for one in beside:
            one.join()

    def folder(self, format: str, recipe: Recipe = FLOAT) -> Path:
        """Return where an artifact lies, or would."""
        return self.store.folder(self.request.name, recipe.name, format)

    def tools(self) -> "Converter":
        """Return the converter process, started when first asked for, or its twin for the thread of second graphs.

        Both end with the session.
        """
        with self._starting:
            if self._tools is None:
                from export.conversion.converter_process import ConverterProcess

                self._tools = self._stack.enter_context(ConverterProcess(self.log, twin=usable_cores() > 1))
        if self._tools.twin and self._second and self._second.is_current():
            return self._tools.twin
        return self._tools

    def _twin(self) -> "Converter | None":
        return self._tools.twin if self._tools and self._has_room() else None

    def _warm_up(self) -> None:
        if self._expects_converter:
            self.tools()

    def obtain(self, format: str, recipe: Recipe = FLOAT) -> Artifact:
        """Return an artifact, its parents before it: the stored one if it was made from just these, else a new one.

        Raises what the stages raise, and `VerificationError` for one that lies too far from its parents. Of threads
        that ask for the same one, the first makes it and the others wait.
        """
        self._heed_beside(format)
        place = (format, recipe.name)
        with self._locks.setdefault(place, threading.Lock()):
            if place not in self._obtained:
                self._obtain_parents(format, recipe)
                found = self._find(FORMATS[format], recipe)
                self._obtained[place] = found or self._make(FORMATS[format], recipe)
        return self._obtained[place]

    def pending(self, wanted: Iterable[tuple[str, Recipe]]) -> list[tuple[str, Recipe]]:
        """Return which artifacts have to be made for those wanted, parents first; the others are obtained."""
        found: dict[Place, tuple[str, Recipe]] = {}

        def is_pending(format: str, recipe: Recipe) -> bool:
            place = (format, recipe.name)
            if place not in self._obtained and place not in found:
                parents = [is_pending(name, of) for name, of in parents_of(format, recipe)]
                stored = None if any(parents) else self._find(FORMATS[format], recipe)
                if stored is None:
                    found[place] = (format, recipe)
                else:
                    self._obtained[place] = stored
            return place in found

        for format, recipe in wanted:
            is_pending(format, recipe)
        return list(found.values())

    def expect(self, pending: Iterable[tuple[str, Recipe]], beside: Iterable[tuple[str, Recipe]]) -> None:
        """Begin to say how long it will take to make all these, some of which will be made beside the others."""
        parameters, pending = self._parameters(), list(pending)
        if not (beside := list(beside)) and self._has_room():
            beside = [second for format, recipe in pending for second in graphs_of(format, recipe)[1:]]
        places = [(format, recipe.name) for format, recipe in pending]
        estimates = {place: self._durations.estimate(self.request.name, place, parameters) for place in places}
        after = self._durations.estimate("", PAGE, 0)
        self._left = TimeLeft(estimates, [(format, recipe.name) for format, recipe in beside], after)

    def make_beside(self, wanted: Sequence[tuple[str, Recipe]]) -> None:
        """Make artifacts in a thread, in the converter process; what they need of PyTorch has been obtained."""
        self.tools()
        self._beside = Beside([partial(self.obtain, format, recipe) for format, recipe in wanted])

    def _heed_beside(self, format: str) -> None:
        """Raise what went wrong in a thread beside this one, and wait for the converter process where it is needed."""
        threads = [one for one in (self._beside, self._second) if one]
        if any(one.is_current() for one in threads):
            return
        for one in threads:
            one.check()
        if self._beside and needs_converter(format):
            self._beside.wait()

    def _obtain_parents(self, format: str, recipe: Recipe) -> None:
        graphs = graphs_of(format, recipe)
        if len(graphs) > 1:
            self._obtain_parents(*graphs[0])  # PyTorch first: then there is something to convert side by side
            self._convert_side_by_side(*graphs)
        for name, of in parents_of(format, recipe):
            self.obtain(name, of)

    def _has_room(self) -> bool:
        """Tell whether there is a core for one more converter, and memory."""
        if self._second or self._cores() == 1:
            return False
        return free_memory() >= CONVERTER_BYTES + COPIES_OF_WEIGHTS * 4 * self._parameters()

    def _convert_side_by_side(self, first: tuple[str, Recipe], *others: tuple[str, Recipe]) -> None:
        """Obtain graphs of one model, all but the first in a thread and a converter of their own, if there is room."""
        if not self._has_room():
            return
        self._second = Beside([partial(self.obtain, *one) for one in others], name="second graph")
        self.obtain(*first)
        self._second.wait()
        self._second = None

    def _find(self, format: Format, recipe: Recipe) -> Artifact | None:
        """Return the stored artifact if it was made from just the parents that were obtained."""
        place = (format.name, recipe.name)
        if place not in self._prepared:
            parents = tuple(self._obtained[name, of.name] for name, of in parents_of(format.name, recipe))
            module = cast("StageModule", import_module(format.stage))
            stage = self._stage(format, recipe, parents)
            plan = _plan(stage, format, parents, options=getattr(module, "options", _no_options)(stage))
            self._prepared[place] = _Prepared(stage, module, plan)
        key = self._prepared[place].plan.key
        stored = None if self.force else self.store.find(self.request.name, recipe.name, format.name, key)
        if stored is None or (held := held_to_bound(stored, format)) == stored:
            return stored
        return self.store.replace_manifest(held)

    def _stage(self, format: Format, recipe: Recipe, parents: tuple[Artifact, ...]) -> Stage:
        return Stage(
            request=self.request,
            format=format.name,
            recipe=recipe,
            parents={
                parent.format: self.store.folder(parent.model, parent.recipe, parent.format) for parent in parents
            },
            folder=self.folder(format.name, recipe),
            workspace=self.workspace,
            log=self.log,
            tools=self.tools,
            warm_up=self._warm_up,
            tell=say,
            data=self.data,
            resources=self.resources,
            cores=self._cores,
            twin=self._twin,
            runner=format.runner,
        )

    def _make(self, format: Format, recipe: Recipe) -> Artifact:
        place, notices = (format.name, recipe.name), list[str]()  # what the stage decided is said when it has ended
        prepared, started = self._prepared.pop(place), time.perf_counter()

        def fill(folder: Path) -> Made:
            outcome = prepared.module.make(replace(prepared.stage, folder=folder, tell=notices.append))
            return Made(accepted(outcome, format), outcome.compute_dtype)

        alone = nullcontext() if needs_converter(format.name) else self._pytorch
        with alone, stage(f"{format.name} {recipe.name}" if format.parents else "load the model") as note:
            self._left.start(place)
            artifact = self.store.write(prepared.plan, fill, published=format.published)
            self._left.finish(place, time.perf_counter() - started)
            note(format_bytes(artifact.bytes) + agreement(artifact.verification))
            note(str(self._left))
        for notice in notices:
            say(f"    {notice}")
        self._keep_duration(place, time.perf_counter() - started)
        self._unchanged = False
        return artifact

    def say_if_unchanged(self) -> None:
        """Say so where all artifacts were there."""
        if self._unchanged:
            say(f"    nothing has changed: {len(self._obtained)} artifacts are used again (--force makes them anew)")

    def _keep_duration(self, place: Place, seconds: float) -> None:
        (format, recipe), parameters = place, self._parameters()
        self._durations.add(
            Duration(model=self.request.name, format=format, recipe=recipe, parameters=parameters, seconds=seconds)
        )

    def _parameters(self) -> int:
        return ModelSpec.read(self.folder("torch") / "spec.json").parameters

    def _cores(self) -> int:
        """Return how many processors a stage may keep busy: one fewer while the converter process is."""
        count = usable_cores()
        return max(1, count - 1) if self._beside else count


def _no_options(stage: Stage) -> None:
    """A stage that is decided by parents, recipe, tools and code alone."""


def _plan(stage: Stage, format: Format, parents: tuple[Artifact, ...], options: Any) -> Plan:
    tools = {name: tool_version(name) for name in format.tools}
    ancestors = tuple(ParentArtifact(format=one.format, recipe=one.recipe, sha256=one.sha256) for one in parents)
    code = code_key(format.stage, *([stage.runner] if stage.runner else []))
    made_from = [[one.format, one.recipe, one.sha256] for one in ancestors]
    return Plan(
        model=stage.request.name,
        recipe=stage.recipe.name,
        format=format.name,
        parents=ancestors,
        tools=tools,
        key=hash_json([format.name, stage.recipe.to_json(), made_from, options, tools, code]),
        storage_dtype=stage.recipe.storage_dtype,
    )
