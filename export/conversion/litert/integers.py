"""A .tflite file that holds a recipe's own integers: written, read back and run, all in the converter process."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.conversion.litert.graph import float_tflite
from export.conversion.litert.ranks import keep_ranks
from export.conversion.tensorflow import INPUT, OUTPUT, SIGNATURE
from export.core.errors import ConversionError

ALGORITHM = "dequantized_weight_recovery"
SUFFIX = ".weight"
Key = tuple[tuple[int, ...], bytes]
Stored = tuple[NDArray[Any], ...]  # integers, scales and zero points


@dataclass(frozen=True, slots=True)
class TfliteWeight:
    """The weight of `layer` as the file is to hold it: value = (stored - zero_point) · scale.

    `stored` int8 `[out, in]` or `[out, kh, kw, in]`; `scale` float32 and `zero_point` int64 `[out]`; `bits` 4 or 8,
    those of the type. `rounds_input`: the runtime quantizes the layer's input to 8 bits and multiplies integers.
    """

    layer: str
    stored: NDArray[np.int8]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    bits: int
    rounds_input: bool

    def values(self) -> NDArray[np.float32]:
        """Return the dequantized weight, float32, which the SavedModel has."""
        column = (-1, *[1] * (self.stored.ndim - 1))
        quantized = (self.stored - self.zero_point.reshape(column)).astype(np.float32)
        return quantized * self.scale.reshape(column)


def write_tflite(saved_model: Path, target: Path, weights: list[TfliteWeight]) -> None:
    """Write the file and prove from its bytes that it holds the given integers and scales; without any it is float.

    Raises `ConversionError` naming a weight that the SavedModel does not multiply by, or that the file lacks.
    """
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer import Quantizer

    by_value = {_key(weight.values()): weight for weight in weights}
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(float_tflite(saved_model)))
    keep_ranks(model)
    operators = _name_weights(model, by_value)
    if not weights:
        target.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
        return
    _register_integers(by_value)
    quantizer = Quantizer(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    for scope, op_name, weight in operators:
        add = quantizer.add_dynamic_config if weight.rounds_input else quantizer.add_weight_only_config
        add(f"^{re.escape(scope)}$", op_name, weight.bits, algorithm_key=ALGORITHM)
    quantized = quantizer.quantize(enable_progress_report=False).quantized_model
    assert quantized is not None
    target.write_bytes(quantized)
    _check(target, list(by_value.values()))


def _key(values: NDArray[np.float32]) -> Key:
    return values.shape, (values + np.float32(0)).tobytes()  # no negative zeros


def _name_weights(model: Any, by_value: dict[Key, TfliteWeight]) -> list[tuple[str, Any, TfliteWeight]]:
    """Name each weight after its layer; return scope, operation and weight of the operators that multiply by one.

    A scope is the quantizer's name of an operator. Layers whose weights are equal share one, named after the last.
    """
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    (graph,) = model.subgraphs
    by_key: dict[Key, list[tuple[str, Any, TfliteWeight]]] = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        op_name = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(code)
        if op_name not in (TFLOperationName.FULLY_CONNECTED, TFLOperationName.CONV_2D):
            continue
        tensor = graph.tensors[operator.inputs[1]]
        values = tfl_flatbuffer_utils.get_tensor_data(tensor, model.buffers)
        key = None if values is None else _key(values)
        if key in by_value:
            tensor.name = f"{by_value[key].layer}{SUFFIX}".encode()
            scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
            by_key.setdefault(key, []).append((scope, op_name, by_value[key]))
    missing = [weight.layer for key, weight in by_value.items() if key not in by_key]
    if missing:
        raise ConversionError(f"the SavedModel does not multiply by the weights of {', '.join(missing[:5])}")
    return [operator for operators in by_key.values() for operator in operators]


def _register_integers(by_value: dict[Key, TfliteWeight]) -> None:
    """Let ai-edge-quantizer's recovery of integers from dequantized weights return the given ones.

    By itself it estimates each scale as the least difference of two values: that is off in its last bits, and by a
    factor where a channel's quantized values have a common divisor. It accepts no algorithms but its own.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping
    from ai_edge_quantizer.algorithms.uniform_quantize import common_quantize, dequantized_weight_recovery

    def parameters(
        op_info: Any, config: Any, tensor_content: NDArray[np.float32] | None = None, tensor_qsv: Any = None
    ) -> Any:
        assert tensor_content is not None  # it quantizes no activations here
        weight = by_value[_key(tensor_content)]
        return qtyping.UniformQuantParams(
            num_bits=weight.bits,
            quantized_dimension=0,
            scale=weight.scale,
            zero_point=weight.zero_point,
            symmetric=not weight.zero_point.any(),
            quantized_data=weight.stored,
        )

    for op_name in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.CONV_2D):
        algorithm_manager.register_quantized_op(
            ALGORITHM,
            op_name,
            dequantized_weight_recovery.init_qsvs,
            dequantized_weight_recovery.calibrate,
            partial(common_quantize.materialize_fc_conv, parameters),
        )


def _check(path: Path, weights: list[TfliteWeight]) -> None:
    tensors = read_integers(path)
    for weight in weights:
        expected: Stored = (weight.stored, weight.scale, weight.zero_point)
        stored = tensors.get(weight.layer)
        if stored is None or not all(np.array_equal(*pair) for pair in zip(stored, expected, strict=True)):
            raise ConversionError(f"{path}: the integers of {weight.layer} differ from those of the quantized model")


def read_integers(path: Path) -> dict[str, Stored]:
    """Return by layer the integers, scales and zero points of the weights that a file holds in 8 or 4 bits."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    weights: dict[str, Stored] = {}
    for tensor in model.subgraphs[0].tensors:
        name, data = tensor.name.decode(), model.buffers[tensor.buffer].data
        if (
            data is None
            or not name.endswith(SUFFIX)
            or tensor.type not in (schema.TensorType.INT8, schema.TensorType.INT4)
        ):
            continue
        stored = np.frombuffer(bytes(data), np.int8)
        if tensor.type == schema.TensorType.INT4:
            stored = np.stack([stored << 4 >> 4, stored >> 4], axis=-1).reshape(-1)  # these shifts keep the sign
        weights[name.removesuffix(SUFFIX)] = (
            stored[: np.prod(tensor.shape)].reshape(tensor.shape),
            np.asarray(tensor.quantization.scale, np.float32),
            np.asarray(tensor.quantization.zeroPoint, np.int64),
        )
    return weights


def run_tflite(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a file in LiteRT one image at a time: [n, 3, H, W] → [n, K]."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
    images = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
    return np.concatenate([run(**{INPUT: image[None]})[OUTPUT] for image in images])
