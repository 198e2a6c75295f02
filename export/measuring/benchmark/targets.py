"""Facts as data: what the benchmark compares on our own page. Peers with pages of their own are in `peer`."""

from dataclasses import dataclass

from export.pipeline.runtimes import engine_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A recipe in a format to compare; results and ratios name it by `name`. `build` is one of the engine's own.

    `gpu`: also on those of the engine's back ends that need a GPU, where there is one.
    """

    name: str
    title: str
    recipe: str
    format: str
    build: str | None = None
    threads: tuple[int, ...] = (1, 2)
    gpu: bool = False

    def runs_on(self, backend: str, threads: int) -> bool:
        """Whether it is compared there."""
        if backend == "wasm":
            return threads in self.threads
        engine = engine_for(self.format)
        return self.gpu and engine is not None and backend in engine.backends

    @property
    def variant(self) -> str:
        """The variant's id on the page."""
        return f"{self.recipe}-{self.format}"


TARGETS: tuple[Target, ...] = (
    Target(name="vit", title="`vit`, 8 bits", recipe="w8a8_gptq", format="vit"),
    Target(name="vit4", title="`vit`, 4-bit weights", recipe="w4a8_gptq", format="vit"),
    Target(
        name="vit_plain",
        title="`vit`, 8 bits, without relaxed SIMD",
        recipe="w8a8_gptq",
        format="vit",
        build="plain",
        threads=(1,),
    ),
    Target(
        name="litert", title="LiteRT.js int8, rewritten for LiteRT.js", recipe="w8_dynamic", format="tflite", gpu=True
    ),
    Target(
        name="litert_stock",
        title="LiteRT.js int8, as onnx2tf converts it",
        recipe="w8_dynamic",
        format="tflite_stock",
        gpu=True,
    ),
    Target(name="ort", title="ONNX Runtime Web int8", recipe="w8_dynamic", format="qdq", gpu=True),
    Target(name="tfjs", title="TF.js, 8-bit weights, rewritten for TF.js", recipe="u8", format="tfjs", gpu=True),
    Target(
        name="tfjs_stock",
        title="TF.js, 8-bit weights, as onnx2tf converts it",
        recipe="u8",
        format="tfjs_stock",
        gpu=True,
    ),
)
GPU_BACKENDS = ("webgl", "webgpu")
VISITED = ("vit", "vit4", "litert_stock", "ort", "tfjs")  # whose first visit is measured
