"""The production line of one model: its artifacts, each made only when it is not there as it should be."""

from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from export.console import say, stage
from export.convert import kind, tool_versions
from export.models.request import ModelRequest
from export.recipes import Recipe, find_recipe
from export.spec import Artifact, Verification
from export.store import Make, Plan, Store, hash_file, hash_json

if TYPE_CHECKING:
    from export.convert.toolrun import ConverterProcess

SOURCE = Path(__file__).parent

# The sources that decide the bytes of a stage, beside its tools.
SOURCES: dict[str, tuple[str, ...]] = {
    "torch": (
        "models/artifact.py",
        "models/checkpoint.py",
        "models/hub.py",
        "models/load.py",
        "models/randomise.py",
        "models/request.py",
        "data/*.py",
        "catalog.py",
    ),
    "safetensors": ("quant/*.py", "data/calibration.py", "methods.py", "convert/verify.py"),
    "onnx": ("convert/to_onnx.py", "convert/verify.py"),
    "shape": ("models/anatomy.py", "models/folds.py", "models/shaped*.py", "convert/to_shaped.py"),
    "qdq": (
        "convert/to_qdq.py",
        "convert/qdq_nodes.py",
        "convert/dynamic_nodes.py",
        "convert/onnx_graph.py",
        "convert/held.py",
        "convert/verify.py",
    ),
    "tflite": (
        "convert/to_tflite.py",
        "convert/tflite_graph.py",
        "convert/tflite_ranks.py",
        "convert/tflite_integers.py",
        "convert/held.py",
        "convert/toolrun.py",
        "convert/verify.py",
    ),
    "tf": ("convert/to_tf.py", "convert/toolrun.py", "convert/verify.py"),
    "tfjs": (
        "convert/to_tfjs.py",
        "convert/graph.py",
        "convert/gpu_graph.py",
        "convert/tfjs_files.py",
        "convert/packed_tfjs.py",
        "convert/verify.py",
        "quant/packing.py",
        "quant/integer_file.py",
    ),
    "vit": (
        "convert/to_engine.py",
        "convert/engine_contract.py",
        "convert/engine_parts.py",
        "convert/verify.py",
        "engine_build.py",
    ),
}


FLOAT = find_recipe("f32")
INTEGER_FORMATS = ("safetensors", "vit")  # whose runtimes multiply integers where the recipe says so


def origin_of(recipe: Recipe) -> Recipe:
    """Return the recipe whose numbers a graph is exported with: storing ones change only the last step's bytes."""
    return recipe if recipe.quantization is not None else FLOAT


class Line:
    """The production line of one model: every stage starts from its parent's artifact, never from memory."""

    def __init__(self, request: ModelRequest, store: Store, *, force: bool, stack: ExitStack) -> None:
        self.request, self.store, self.force, self.stack = request, store, force, stack
        self.notices: list[str] = []  # what a stage decided and should be seen
        self.log = (store.root / request.name / "convert.log").absolute()
        self._tools: ConverterProcess | None = None
        self._made: dict[tuple[str, str], Artifact] = {}

    def folder(self, format: str, recipe: str = "f32") -> Path:
        """Return where a stage's artifact lies."""
        return self.store.folder(self.request.name, recipe, format)

    def tools(self) -> "ConverterProcess":
        """Return the converter process, started when first asked for; it ends with the build."""
        if self._tools is None:
            from export.convert.toolrun import ConverterProcess

            self._tools = self.stack.enter_context(ConverterProcess(self.log))
        return self._tools

    def obtain(
        self,
        format: str,
        parent: Artifact | None,
        make: Make,
        *,
        recipe: Recipe = FLOAT,
        options: object = None,
    ) -> Artifact:
        """Return the stage's artifact: the stored one if it was made from just this, else a new one."""
        place = (format, recipe.name)
        if place not in self._made:
            self._made[place] = self._find_or_make(format, parent, make, recipe, options)
        return self._made[place]

    def _find_or_make(
        self, format: str, parent: Artifact | None, make: Make, recipe: Recipe, options: object
    ) -> Artifact:
        tools = (
            tool_versions(format) if parent else {name: version(name) for name in ("torch", "timm", "pillow", "numpy")}
        )
        parent_sha256 = parent.sha256 if parent else ""
        plan = Plan(
            model=self.request.name, recipe=recipe.name, format=format, parent_sha256=parent_sha256, tools=tools,
            key=hash_json([format, recipe.to_json(), parent_sha256, options, tools, _code(format)]),
            storage_dtype=recipe.storage_dtype,
            compute_dtype=recipe.compute_dtype if format in INTEGER_FORMATS else "float32",
        )  # fmt: skip
        found = None if self.force else self.store.find(plan.model, recipe.name, format, plan.key)
        if found:
            return found
        with stage(f"{format} {recipe.name}" if parent else "load the model") as note:
            artifact = self.store.write(plan, make)
            note(f"{artifact.bytes / 1e6:.2f} MB" + _agreement(artifact.verification))
        while self.notices:
            say(f"    {self.notices.pop(0)}")
        return artifact


def _code(format: str) -> list[list[str]]:
    patterns = SOURCES[kind(format)] + (SOURCES["shape"] if format.startswith("onnx_") else ())
    files = sorted({file for pattern in patterns for file in SOURCE.glob(pattern)})
    return [[file.relative_to(SOURCE).as_posix(), hash_file(file)] for file in files]


def _agreement(found: Verification | None) -> str:
    if found is None:
        return ""
    distance = "equal bit for bit" if found.sqnr_db is None else f"{found.sqnr_db:.1f} dB"
    return f", {distance} from its parent (largest difference {found.max_abs_diff:.2g})"
