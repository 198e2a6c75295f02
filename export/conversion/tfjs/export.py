"""TensorFlow → TF.js: a graph model whose weights are stored as float32, float16, uint8 or a recipe's integers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.conversion.converter_process import Converter, run_node
from export.conversion.tensorflow import run_tf
from export.conversion.tfjs.gpu_graph import read_gpu_graph, write_gpu_graph
from export.conversion.tfjs.graph_model import STORAGES, Stored, shard_bytes, write_graph_model
from export.conversion.tfjs.packed import pack_weights
from export.core.figures.fidelity import Comparison, compare
from export.core.paths import SITE

RUNNER = SITE / "tools" / "run_tfjs.mjs"


def to_tfjs(
    tools: Converter,
    saved_model: Path,
    golden_inputs: NDArray[np.float32],
    folder: Path,
    *,
    recipe: str,
    name: str,
    integers: Path | None = None,
    for_gpu: Path | None = None,
    twin: Converter | None = None,
) -> tuple[tuple[Comparison, ...], Stored]:
    """Write `folder/model.json` and its shards: `pixels` float32 [1, H, W, 3] → `logits` float32 [1, K].

    `golden_inputs` is [n, 3, H, W]; `recipe` one of `STORAGES`, or, with `integers` the artifact that the graph's
    weights come from, any that quantizes: then those integers are what is stored. `for_gpu` is the same model as a
    GPU likes it, which becomes a second graph of the same weights; each is compared with its TensorFlow model. `twin`
    is another converter, which reads and runs `for_gpu` while `tools` works on the first graph.
    Raises `ConversionError` when a tool fails, no constant matches a pattern or the bytes are not what they should be.
    """
    edge, subject = "integers" if integers else recipe, f"{name}: TF.js with {recipe} weights"

    def compared(converter: Converter, parent: Path, build: str) -> Comparison:
        outputs = run_tfjs(folder, golden_inputs, tools.scratch, tools.log, build=build)
        wanted = converter.run(run_tf, parent.absolute(), golden_inputs)
        return compare(wanted, outputs, edge=edge, parent="tf", subject=f"{subject}, graph for {build.upper()}s")

    def added(converter: Converter, parent: Path) -> Comparison:
        graph = converter.run(read_gpu_graph, parent.absolute())
        tools.run(write_gpu_graph, graph, saved_model.absolute(), folder.absolute())
        return compared(converter, parent, "gpu")

    with ThreadPoolExecutor(1) as pool:  # Node runs the first graph while the converter process writes the second
        if twin and for_gpu:
            pool.submit(twin.run, read_gpu_graph, for_gpu.absolute())  # it is known when it is asked for again
        stored = _write_first(tools, saved_model, folder, recipe, integers)
        second = pool.submit(added, twin or tools, for_gpu) if for_gpu else None
        first = compared(tools, saved_model, "cpu")
        return (first, second.result()) if second else (first,), stored


def _write_first(tools: Converter, saved_model: Path, folder: Path, recipe: str, integers: Path | None) -> Stored:
    storage = STORAGES["f32" if integers else recipe]
    stored = tools.run(write_graph_model, saved_model.absolute(), folder.absolute(), storage)
    if not integers:
        return stored
    packed = pack_weights(folder, integers)
    own = sum(packed.values())
    return Stored("integers", tuple(packed), own, shard_bytes(folder) - own)


def run_tfjs(
    model: Path, inputs: NDArray[np.float32], scratch: Path, log: Path, *, build: str = "cpu"
) -> NDArray[np.float32]:
    """Run a graph model with the page's own engine in Node, one image at a time: [n, 3, H, W] → [n, K].

    `build` is the graph that is run: `cpu`, or `gpu` where there is one.
    """
    images = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1), "<f4")
    source, target = scratch / f"images_{build}.f32", scratch / f"logits_{build}.f32"
    images.tofile(source)
    target.unlink(missing_ok=True)  # an earlier model's outputs
    shape = ",".join(str(size) for size in images.shape)
    arguments = {"model": model, "build": build, "inputs": source, "shape": shape, "output": target}
    run_node(RUNNER, [text for key, value in arguments.items() for text in (f"--{key}", str(value))], log)
    return np.fromfile(target, "<f4").reshape(len(images), -1)
