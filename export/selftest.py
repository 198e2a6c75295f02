"""What a page tests its back ends by: the float model's reference images, and what each variant makes of them.

Two stages beside a model's line: `selftest`, once a model, holds the images with the float model's outputs;
`selftest_<format>`, for every artifact that a page can load, how far it lies from them when the build itself runs it.
A page refuses a back end that lies much further: the rule is in site/js/worker/selftest.js.
"""

import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from export.console import stage
from export.engines import ENGINES
from export.errors import ArtifactError
from export.recipes import Recipe
from export.spec import Artifact, ModelSpec, SelfTest, StoredFile
from export.store import Plan, Store, hash_file, hash_json

if TYPE_CHECKING:
    from export.line import Line

FLOAT = "f32"  # the recipe beside whose model the images lie
STAGE, FILE, RESULT = "selftest", "selftest.safetensors", "selftest.json"
SOURCE = Path(__file__).parent
SOURCES = ("selftest.py", "convert/reference_images.py", "convert/runners.py", "data/preprocess.py", "data/golden.py")
TOOLS = ("torch", "timm", "pillow", "numpy")


def stage_of(format: str) -> str:
    """Return the name of the stage that runs the artifacts of a format."""
    return f"{STAGE}_{format}"


def add_selftests(line: "Line", torch: Artifact, recipes: tuple[Recipe, ...]) -> None:
    """Make what a page of these recipes needs to test its back ends, for every format that is stored and published.

    `torch` is the float model. Raises what `write_reference` and `run_artifact` raise.
    """
    reference = _obtain(line, STAGE, torch, FLOAT, "", lambda folder: _write_reference(line, folder))
    formats = [format for engine in ENGINES.values() for format in engine.formats]
    for recipe, format in product(recipes, formats):
        artifact = line.store.read(torch.model, recipe.name, format)
        if artifact is not None:
            make = partial(_run, line, artifact)
            _obtain(line, stage_of(format), artifact, recipe.name, reference.sha256, make)


def _obtain(
    line: "Line", format: str, parent: Artifact, recipe: str, options: str, make: Callable[[Path], None]
) -> Artifact:
    tools = {name: version(name) for name in TOOLS}
    code = [[name, hash_file(SOURCE / name)] for name in SOURCES]
    plan = Plan(
        model=parent.model, recipe=recipe, format=format, parent_sha256=parent.sha256, tools=tools,
        key=hash_json([format, recipe, parent.sha256, options, tools, code]),
        storage_dtype=parent.storage_dtype, compute_dtype=parent.compute_dtype,
    )  # fmt: skip
    found = None if line.force else line.store.find(plan.model, recipe, format, plan.key)
    if found is not None:
        return found
    with stage(f"{format} {recipe}") as note:
        artifact = line.store.write(plan, make)
        note(f"{artifact.bytes / 1e3:.1f} kB")
    return artifact


def _write_reference(line: "Line", folder: Path) -> None:
    from export.convert.reference_images import write_reference
    from export.models.artifact import read_model

    write_reference(*read_model(line.folder("torch")), folder / FILE)


def _run(line: "Line", artifact: Artifact, folder: Path) -> None:
    from export.convert.reference_images import read_reference
    from export.convert.runners import run_artifact

    reference = read_reference(line.folder(STAGE) / FILE)
    spec = ModelSpec.from_json(json.loads((line.folder("torch") / "spec.json").read_text()))
    inputs = reference.inputs(spec)
    place = line.folder(artifact.format, artifact.recipe)
    result = reference.compare(run_artifact(artifact.format, place, inputs, line.tools, line.log))
    (folder / RESULT).write_text(json.dumps(result.to_json()) + "\n")


def read_reference_file(store: Store, origin: Artifact) -> tuple[Path, StoredFile]:
    """Return the folder and the record of the reference file of a float model.

    Raises `ArtifactError` when there is none, or one of another model.
    """
    artifact = _read(store, origin, FLOAT, STAGE)
    return store.folder(origin.model, FLOAT, STAGE), artifact.files[0]


def read_selftest(store: Store, artifact: Artifact) -> SelfTest:
    """Return what the build's own run of an artifact gave; raises `ArtifactError` when it was never run."""
    format = stage_of(artifact.format)
    _read(store, artifact, artifact.recipe, format)
    path = store.folder(artifact.model, artifact.recipe, format) / RESULT
    try:
        return SelfTest.from_json(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}", hint="build again with --force") from error


def _read(store: Store, parent: Artifact, recipe: str, format: str) -> Artifact:
    artifact = store.read(parent.model, recipe, format)
    if artifact is None or artifact.parent_sha256 != parent.sha256:
        raise ArtifactError(
            f"{store.folder(parent.model, recipe, format)} is missing or of other files: a page of "
            f"{parent.model}/{parent.recipe}/{parent.format} could not test its back ends",
            hint=f"build again: python -m export.build --model {parent.model} --recipe {parent.recipe}",
        )
    return artifact
