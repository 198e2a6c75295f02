"""A build session: the artifacts of one model, each made only when it is not there as it should be."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from msgspec import structs

from export.core.console import say, stage
from export.core.fidelity import Comparison, accept
from export.core.files import hash_json
from export.core.records import Artifact, ParentArtifact, Verification
from export.core.source_code import code_key
from export.core.units import format_bytes
from export.models.request import ModelRequest
from export.pipeline.formats import FLOAT, FORMATS, Format, ancestry
from export.pipeline.requirements import require_tools, tool_version
from export.pipeline.stage import Outcome, Stage, StageModule
from export.pipeline.store import Made, Plan, Store
from export.quantization.recipes import Recipe

if TYPE_CHECKING:
    from export.conversion.converter_process import ConverterProcess


class BuildSession:
    """The artifacts of one model, by format and recipe; a context manager, with which the converter process ends.

    Every stage starts from its parents' artifacts, never from memory. `data` are images to calibrate on; with `force`
    everything is made anew. `expected` are the formats that will be asked for; raises
    `RequestError` when something that they need is not installed.
    """

    def __init__(
        self,
        request: ModelRequest,
        store: Store,
        *,
        force: bool = False,
        data: Path | None = None,
        expected: Collection[str] = (),
    ) -> None:
        self.request, self.store, self.force, self.data = request, store, force, data
        require_tools(expected or ("torch",))
        self.workspace = store.root / request.name
        self.log = (self.workspace / "convert.log").absolute()
        self._notices: list[str] = []  # what a stage decided, said when it has ended
        self._obtained: dict[tuple[str, str], Artifact] = {}
        self._tools: ConverterProcess | None = None
        self._expects_converter = any("tensorflow" in FORMATS[name].tools for name in ancestry(expected))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

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

    def _find_or_make(self, format: Format, recipe: Recipe) -> Artifact:
        applying = [parent for parent in format.parents if parent.applies(recipe)]
        parents = tuple(self.obtain(parent.format, parent.recipe_for(recipe)) for parent in applying)
        module = cast("StageModule", import_module(format.stage))
        stage = self._stage(format, recipe, parents)
        plan = _plan(stage, format, parents, options=getattr(module, "options", _no_options)(stage))
        stored = None if self.force else self.store.find(plan.model, recipe.name, format.name, plan.key)
        return self._make(plan, format, stage, module) if stored is None else self._accept_again(stored, format)

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
            tell=self._notices.append,
            data=self.data,
            runner=format.runner,
        )

    def _make(self, plan: Plan, format: Format, job: Stage, module: StageModule) -> Artifact:
        def fill(folder: Path) -> Made:
            outcome = module.make(replace(job, folder=folder))
            return Made(_accepted(outcome, format), outcome.compute_dtype)

        title = f"{format.name} {job.recipe.name}" if format.parents else "load the model"
        with stage(title) as note:
            artifact = self.store.write(plan, fill)
            note(format_bytes(artifact.bytes) + _agreement(artifact.verification))
        while self._notices:
            say(f"    {self._notices.pop(0)}")
        return artifact

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
