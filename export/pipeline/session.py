"""A build session: the artifacts of one model, each made only when it is not there as it should be."""

import os
import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from msgspec import structs

from export.core.console import say, stage
from export.core.figures.fidelity import Comparison, accept
from export.core.figures.units import format_bytes
from export.core.files import hash_json
from export.core.records import Artifact, ModelSpec, ParentArtifact, Verification
from export.core.source_code import code_key
from export.models.choice.request import ModelRequest
from export.pipeline.beside import Beside
from export.pipeline.durations import PAGE, Duration, Durations, Place, TimeLeft
from export.pipeline.formats import FLOAT, FORMATS, Format, ancestry
from export.pipeline.requirements import require_tools, tool_version
from export.pipeline.stage import SHARED, Outcome, Stage, StageModule
from export.pipeline.store import Made, Plan, Store
from export.quantization.recipes import Recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources

if TYPE_CHECKING:
    from export.conversion.converter_process import ConverterProcess


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
        self._obtained: dict[Place, Artifact] = {}
        self._prepared: dict[Place, _Prepared] = {}
        self._beside: Beside | None = None
        self._durations, self._left = Durations(store.root), TimeLeft({})
        self._tools: ConverterProcess | None = None
        self._expects_converter = any("tensorflow" in FORMATS[name].tools for name in ancestry(expected))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.workspace / SHARED, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beside:
            self._beside.stop()
        self._stack.close()  # ends the converter process, and with it what the thread waits for
        if self._beside:
            self._beside.join()

    def folder(self, format: str, recipe: Recipe = FLOAT) -> Path:
        """Return where an artifact lies, or would."""
        return self.store.folder(self.request.name, recipe.name, format)

    def tools(self) -> "ConverterProcess":
        """Return the converter process, started when first asked for; it ends with the session."""
        if self._tools is None:
            from export.conversion.converter_process import ConverterProcess

            self._tools = self._stack.enter_context(ConverterProcess(self.log))
        return self._tools

    def _warm_up(self) -> None:
        if self._expects_converter:
            self.tools()

    def obtain(self, format: str, recipe: Recipe = FLOAT) -> Artifact:
        """Return an artifact, its parents before it: the stored one if it was made from just these, else a new one.

        Raises what the stages raise, and `VerificationError` for one that lies too far from its parents.
        """
        place = (format, recipe.name)
        if place not in self._obtained:
            self._obtained[place] = self._find_or_make(FORMATS[format], recipe)
        return self._obtained[place]

    def pending(self, wanted: Iterable[tuple[str, Recipe]]) -> list[tuple[str, Recipe]]:
        """Return which artifacts have to be made for those wanted, parents first; the others are obtained."""
        found: dict[Place, tuple[str, Recipe]] = {}

        def is_pending(format: str, recipe: Recipe) -> bool:
            place = (format, recipe.name)
            if place not in self._obtained and place not in found:
                parents = [is_pending(name, of) for name, of in _parents(FORMATS[format], recipe)]
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
        parameters = ModelSpec.read(self.folder("torch") / "spec.json").parameters
        places = [(format, recipe.name) for format, recipe in pending]
        estimates = {place: self._durations.estimate(self.request.name, place, parameters) for place in places}
        after = self._durations.estimate("", PAGE, 0)
        self._left = TimeLeft(estimates, [(format, recipe.name) for format, recipe in beside], after)

    def make_beside(self, wanted: Sequence[tuple[str, Recipe]]) -> None:
        """Make artifacts in a thread, in the converter process; what they need of PyTorch has been obtained."""
        self.tools()
        self._beside = Beside([partial(self.obtain, format, recipe) for format, recipe in wanted])

    def _find_or_make(self, format: Format, recipe: Recipe) -> Artifact:
        if self._beside and not self._beside.is_current():
            self._beside.check()
            if needs_converter(format.name):
                self._beside.wait()
                if (format.name, recipe.name) in self._obtained:
                    return self._obtained[format.name, recipe.name]
        for name, of in _parents(format, recipe):
            self.obtain(name, of)
        return self._find(format, recipe) or self._make(format, recipe)

    def _find(self, format: Format, recipe: Recipe) -> Artifact | None:
        """Return the stored artifact if it was made from just the parents that were obtained."""
        place = (format.name, recipe.name)
        if place not in self._prepared:
            parents = tuple(self._obtained[name, of.name] for name, of in _parents(format, recipe))
            module = cast("StageModule", import_module(format.stage))
            stage = self._stage(format, recipe, parents)
            plan = _plan(stage, format, parents, options=getattr(module, "options", _no_options)(stage))
            self._prepared[place] = _Prepared(stage, module, plan)
        key = self._prepared[place].plan.key
        stored = None if self.force else self.store.find(self.request.name, recipe.name, format.name, key)
        return None if stored is None else self._accept_again(stored, format)

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
            runner=format.runner,
        )

    def _make(self, format: Format, recipe: Recipe) -> Artifact:
        place, notices = (format.name, recipe.name), list[str]()  # what the stage decided is said when it has ended
        prepared, started = self._prepared.pop(place), time.perf_counter()

        def fill(folder: Path) -> Made:
            outcome = prepared.module.make(replace(prepared.stage, folder=folder, tell=notices.append))
            return Made(_accepted(outcome, format), outcome.compute_dtype)

        with stage(f"{format.name} {recipe.name}" if format.parents else "load the model") as note:
            self._left.start(place)
            artifact = self.store.write(prepared.plan, fill, published=format.published)
            self._left.finish(place, time.perf_counter() - started)
            note(format_bytes(artifact.bytes) + _agreement(artifact.verification))
            note(str(self._left))
        for notice in notices:
            say(f"    {notice}")
        self._keep_duration(place, time.perf_counter() - started)
        return artifact

    def _keep_duration(self, place: Place, seconds: float) -> None:
        parameters = ModelSpec.read(self.folder("torch") / "spec.json").parameters
        format, recipe = place
        self._durations.add(
            Duration(model=self.request.name, format=format, recipe=recipe, parameters=parameters, seconds=seconds)
        )

    def _cores(self) -> int:
        """Return how many processors a stage may keep busy: one fewer while the converter process is."""
        count = os.cpu_count() or 1
        return max(1, count - 1) if self._beside else count

    def _accept_again(self, artifact: Artifact, format: Format) -> Artifact:
        """Hold a stored artifact to today's bound, which is no part of its key."""
        if artifact.verification is None:
            return artifact
        kept = artifact.verification
        comparison = Comparison(
            edge=kept.edge,
            parent=kept.parent,
            subject=f"{artifact.model}: {artifact.format} {artifact.recipe}",
            n=kept.n,
            max_abs_diff=kept.max_abs_diff,
            sqnr_db=kept.sqnr_db,
            top1_agreement=kept.top1_agreement,
        )
        verification = accept(comparison, format.bounds_db[kept.edge])
        if verification == kept:
            return artifact
        return self.store.replace_manifest(structs.replace(artifact, verification=verification))


def needs_converter(format: str) -> bool:
    """Tell whether a format's stage runs in the converter process."""
    return any("tensorflow" in FORMATS[name].tools for name in (format, format.removeprefix("selftest_")))


def _parents(format: Format, recipe: Recipe) -> list[tuple[str, Recipe]]:
    return [(parent.format, parent.recipe_for(recipe)) for parent in format.parents if parent.applies(recipe)]


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


def _accepted(outcome: Outcome, format: Format) -> Verification | None:
    """Return the worst comparison of a stage; raises `VerificationError` for one beyond its bound."""
    accepted = [accept(comparison, format.bounds_db[comparison.edge]) for comparison in outcome.comparisons]
    return min(accepted, key=lambda one: float("inf") if one.sqnr_db is None else one.sqnr_db, default=None)


def _agreement(verification: Verification | None) -> str:
    if verification is None:
        return ""
    distance = "equal bit for bit" if verification.sqnr_db is None else f"{verification.sqnr_db:.1f} dB"
    return f", {distance} from its parent (largest difference {verification.max_abs_diff:.2g})"
