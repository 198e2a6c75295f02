"""Facts as data: the one table of formats, that is, of everything that is made of a model and kept.

To add a format, add an entry here and a module in `export/pipeline/stages/` that makes it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from export.quantization.recipes import Recipe, find_recipe

FLOAT = find_recipe("f32")
STAGES = "export.pipeline.stages"


@dataclass(frozen=True, slots=True)
class Parent:
    """A format that another one is made from.

    `recipe` tells whose: the `graph`'s numbers (the recipe itself where it quantizes; recipes that only store share the
    float model's graph), the `same` recipe in any case, or the `float` model. `when` restricts it to recipes that
    quantize.
    """

    format: str
    recipe: Literal["graph", "same", "float"] = "graph"
    when: Literal["always", "quantized"] = "always"

    def applies(self, recipe: Recipe) -> bool:
        """Whether an artifact of the recipe has this parent."""
        return self.when == "always" or recipe.quantization is not None

    def recipe_for(self, recipe: Recipe) -> Recipe:
        """Return the recipe of the parent's artifact, given the child's."""
        if self.recipe == "same" or (self.recipe == "graph" and recipe.quantization is not None):
            return recipe
        return FLOAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """All about one format.

    `title` is what the page calls it, `extra` the extra of this package that brings what it needs. The first of
    `parents` that applies is the one it is converted from. `stage` is the module that makes it; `runner`, for what a
    page loads and for self-tests, the module that runs it. `tools` are the distributions whose versions decide its
    bytes, `programs` what must be on PATH. `bounds_db` is the least SQNR in dB of each comparison that the stage makes.
    `file` is the one that `export.quantize --out` copies, by its suffix. `engine` is the JavaScript runtime that loads
    it, the first format of an engine being its default. `dynamic_note` and `static_note` are what this format does
    otherwise than a recipe says whose activations have scales of run time, or of calibration.
    """

    name: str
    title: str
    parents: tuple[Parent, ...]
    stage: str
    tools: tuple[str, ...]
    extra: str = "quantize"
    programs: tuple[str, ...] = ()
    bounds_db: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    file: str = ""
    engine: str = ""
    runner: str = ""
    dynamic_note: str = ""
    static_note: str = ""

    @property
    def published(self) -> bool:
        """Whether pages have its files."""
        return bool(self.engine) or self.name == "selftest"


MODEL = Parent("torch", recipe="float")
INTEGERS = Parent("safetensors", when="quantized")

# Bounds: measured on randomised members of every family; the room below is for trained weights with few, large
# activations. A broken graph gives about 0 dB.
EXACT_DB = 80.0  # steps that only reorder sums: 118 dB and more
# The same model rewritten for a runtime: 118 dB and more with an exact GELU, 68 with a cheap one.
ONNX_BOUNDS_DB = {"onnx": EXACT_DB, "rewrite": 50.0}
# float16 storage 60 dB and more; uint8 28 and more, 18 to 22 where weights have the heavy tails (Student's t, 5 degrees
# of freedom) that one scale per tensor suffers from; a recipe's integers are stored exactly.
TFJS_BOUNDS_DB = {"f32": EXACT_DB, "f16": 40.0, "u8": 10.0, "integers": EXACT_DB}
# float torch → integers, by the recipe's fewest bits: a model of which less is left is no use.
INTEGER_BOUNDS_DB = {"int8": 10.0, "int7": 10.0, "int6": 8.0, "int5": 5.0, "int4": 2.0, "int3": 0.0}
# Weights alone are exact; where activations are rounded too, a last bit makes one fall on the next quantized value,
# which later layers pass on: 37 dB and more at 8 bits, 20 at 4 bits and random weights.
ROUNDED_BOUNDS_DB = {"weights": 60.0, "activations": 10.0}

TORCH_TOOLS = ("torch", "timm", "pillow", "numpy")
ONNX_TOOLS = ("torch", "timm", "onnx")
TF_TOOLS = ("onnx", "onnxsim", "onnx2tf", "tensorflow")
TFJS_TOOLS = ("tensorflow", "tensorflowjs")
LITERT_TOOLS = ("tensorflow", "ai-edge-quantizer", "ai-edge-litert")


def _onnx(name: str, title: str, stage: str) -> Format:
    parents = (INTEGERS, MODEL)
    return Format(
        name=name,
        title=title,
        parents=parents,
        stage=f"{STAGES}.{stage}",
        tools=ONNX_TOOLS,
        extra="onnx",
        bounds_db=ONNX_BOUNDS_DB,
    )


def _tensorflow(name: str, title: str, onnx: str) -> Format:
    parents, bounds = (Parent(onnx), MODEL), {"tf": EXACT_DB}
    stage = f"{STAGES}.tensorflow"
    return Format(
        name=name, title=title, parents=parents, stage=stage, tools=TF_TOOLS, extra="tensorflow", bounds_db=bounds
    )


def _tfjs(name: str, title: str, *graphs: str) -> Format:
    parents, stage = (*map(Parent, graphs), INTEGERS, MODEL), f"{STAGES}.tfjs"
    return Format(
        name=name,
        title=title,
        parents=parents,
        stage=stage,
        tools=TFJS_TOOLS,
        extra="tfjs",
        programs=("node",),
        bounds_db=TFJS_BOUNDS_DB,
        engine="tfjs",
        runner=stage,
    )


def _litert(name: str, title: str, graph: str, file: str = "") -> Format:
    stage = f"{STAGES}.litert"
    return Format(
        name=name,
        title=title,
        parents=(Parent(graph), INTEGERS, MODEL),
        stage=stage,
        tools=LITERT_TOOLS,
        extra="litert",
        bounds_db=ROUNDED_BOUNDS_DB,
        file=file,
        engine="litert",
        runner=stage,
        dynamic_note=" In this format, the matrix products of attention stay float.",
        static_note=" In this format, the runtime chooses the scales of activations, one per token, and the matrix "
        "products of attention stay float.",
    )


def _selftest(tested: Format) -> Format:
    return Format(
        name=f"selftest_{tested.name}",
        title=f"self-test of {tested.title}",
        parents=(Parent(tested.name, recipe="same"), Parent("selftest", recipe="float"), MODEL),
        stage=f"{STAGES}.selftest",
        tools=TORCH_TOOLS,
        extra=tested.extra,
        runner=tested.runner,
    )


_MADE = (
    Format(name="torch", title="PyTorch", parents=(), stage=f"{STAGES}.float_model", tools=TORCH_TOOLS),
    Format(
        name="safetensors",
        title="integer safetensors",
        parents=(MODEL,),
        stage=f"{STAGES}.integers",
        file="model.safetensors",
        tools=("torch", "timm", "numpy"),
        bounds_db=INTEGER_BOUNDS_DB,
    ),
    Format(
        name="vit",
        title="integers of the vit engine",
        parents=(INTEGERS, MODEL),
        stage=f"{STAGES}.engine",
        tools=("torch", "timm", "ziglang"),
        bounds_db={"vit": 10.0},
        engine="vit",
        runner=f"{STAGES}.engine",
    ),
    _onnx("onnx", "ONNX", "onnx"),
    _onnx("onnx_tfjs", "ONNX, rewritten for TensorFlow.js", "onnx_rewritten"),
    _onnx("onnx_tfjs_gpu", "ONNX, rewritten for TensorFlow.js on GPUs", "onnx_rewritten"),
    _onnx("onnx_tflite", "ONNX, rewritten for LiteRT", "onnx_rewritten"),
    _tensorflow("tf", "TensorFlow SavedModel", "onnx"),
    _tensorflow("tf_tfjs", "TensorFlow SavedModel, rewritten for TensorFlow.js", "onnx_tfjs"),
    _tensorflow("tf_tfjs_gpu", "TensorFlow SavedModel, rewritten for TensorFlow.js on GPUs", "onnx_tfjs_gpu"),
    _tensorflow("tf_tflite", "TensorFlow SavedModel, rewritten for LiteRT", "onnx_tflite"),
    _tfjs("tfjs", "TensorFlow.js graph model", "tf_tfjs", "tf_tfjs_gpu"),
    _tfjs("tfjs_stock", "TensorFlow.js graph model, stock conversion", "tf"),
    _litert("tflite", "LiteRT", "tf_tflite", file="model.tflite"),
    _litert("tflite_stock", "LiteRT, stock conversion", "tf"),
    Format(
        name="qdq",
        file="model.onnx",
        title="ONNX with integers",
        parents=(Parent("onnx"), INTEGERS, MODEL),
        stage=f"{STAGES}.qdq",
        tools=("torch", "onnx", "onnxruntime"),
        extra="onnx",
        bounds_db=ROUNDED_BOUNDS_DB,
        engine="ort",
        runner=f"{STAGES}.qdq",
        dynamic_note=" In this format, all tokens share one scale, and the matrix products of attention stay float.",
    ),
    Format(name="selftest", title="reference images", parents=(MODEL,), stage=f"{STAGES}.selftest", tools=TORCH_TOOLS),
)

FORMATS: dict[str, Format] = {
    format.name: format for format in (*_MADE, *(_selftest(format) for format in _MADE if format.engine))
}


def ancestry(formats: Iterable[str]) -> set[str]:
    """Return formats with all that they are made from."""
    found: set[str] = set()
    waiting = list(formats)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [parent.format for parent in FORMATS[name].parents]
    return found


def parents_of(format: str, recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Return the artifacts that one is made from."""
    parents = FORMATS[format].parents
    return [(parent.format, parent.recipe_for(recipe)) for parent in parents if parent.applies(recipe)]


def graphs_of(format: str, recipe: Recipe) -> list[tuple[str, Recipe]]:
    """Return those of its parents that the converter process makes."""
    return [(name, of) for name, of in parents_of(format, recipe) if needs_converter(name)]


def needs_converter(format: str) -> bool:
    """Tell whether a format's stage runs in the converter process."""
    return any("tensorflow" in FORMATS[name].tools for name in (format, format.removeprefix("selftest_")))
