"""A SavedModel as float .tflite, its GELU in the form that the converter fuses; runs in the converter process."""

from collections import Counter
from pathlib import Path
from typing import Any

from export.conversion.tensorflow import INPUT, OUTPUT, SIGNATURE
from export.core.errors import ConversionError


def float_tflite(saved_model: Path) -> bytes:
    """Return the float model as .tflite with the SavedModel's signature.

    Raises `ConversionError` when an operation has no equivalent.
    """
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(saved_model))
    graph, shape = _frozen(loaded)
    _regroup_gelu(graph)
    _rename(graph)
    serve = tf.function(
        lambda pixels: {OUTPUT: tf.import_graph_def(graph, {f"{INPUT}:0": pixels}, [f"{OUTPUT}:0"], name="")[0]},
        input_signature=[tf.TensorSpec(shape, tf.float32, INPUT)],
    )
    target = Path("tflite_saved_model").absolute()  # in the process's working folder, which is its scratch
    tf.saved_model.save(tf.Module(), str(target), signatures={SIGNATURE: serve})
    flatbuffer = tf.lite.TFLiteConverter.from_saved_model(str(target), signature_keys=[SIGNATURE]).convert()
    if not isinstance(flatbuffer, bytes):
        raise ConversionError(f"{saved_model} was not converted to .tflite")
    return flatbuffer


def _frozen(loaded: Any) -> tuple[Any, Any]:
    """Return the graph with its variables as constants, and the shape of its input."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    serve = loaded.signatures[SIGNATURE]
    frozen = convert_variables_to_constants_v2(serve)
    graph = frozen.graph.as_graph_def()
    ends = {frozen.inputs[0].op.name: INPUT, frozen.outputs[0].op.name: OUTPUT}
    for node in graph.node:
        node.input[:] = [_renamed(tensor, ends) for tensor in node.input]
        node.name = ends.get(node.name, node.name)
    return graph, frozen.inputs[0].shape


def _regroup_gelu(graph: Any) -> None:
    """Compute (x · ½) · (1 + erf) instead of (x · (1 + erf)) · ½: the same value, fused to one operation in .tflite."""
    nodes = {node.name: node for node in graph.node}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    for add in graph.node:
        if add.op not in ("Add", "AddV2") or not any(nodes[tensor].op == "Erf" for tensor in add.input):
            continue
        products = readers.get(add.name, [])
        outer = readers.get(products[0].name, []) if len(products) == 1 else []
        if [node.op for node in (*products, *outer)] == ["Mul", "Mul"]:
            (x,) = (tensor for tensor in products[0].input if tensor != add.name)
            (half,) = (tensor for tensor in outer[0].input if tensor != products[0].name)
            products[0].input[:], outer[0].input[:] = [x, half], [products[0].name, add.name]


def _rename(graph: Any) -> None:
    """Name nodes by kind and number: TensorFlow's names depend on what was converted before in the same process."""
    counter: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in graph.node:
        kind = node.op.lower()
        names[node.name] = node.name if node.name in (INPUT, OUTPUT) else f"{kind}_{counter[kind]}"
        counter[kind] += 1
    for node in graph.node:
        node.input[:] = [_renamed(tensor, names) for tensor in node.input]
        node.name = names[node.name]


def _renamed(tensor: str, names: dict[str, str]) -> str:
    """Return an input under its node's new name; it reads `node`, `node:1` or `^node`."""
    name = tensor.removeprefix("^").split(":")[0]
    return tensor.replace(name, names.get(name, name), 1)
