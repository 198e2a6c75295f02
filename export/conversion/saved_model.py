"""A SavedModel's functions and their arguments, numbered anew: equal models have equal bytes.

TensorFlow's own numbers go on from one model to the next of a process, so that they tell what was converted before.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILE, ARGUMENT_NAME = "saved_model.pb", "_user_specified_name"


def number_functions(folder: Path) -> None:
    """Number functions from 0 and captured arguments by position; runs in the converter process."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / FILE
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        functions = graph.graph_def.library.function
        ordered = sorted((one.signature.name for one in functions), key=lambda name: int(_split(name)[1]))
        names = {name: f"{_split(name)[0]}_{number}" for number, name in enumerate(ordered)}
        _rename_calls(graph.graph_def.node, names)
        _rename_objects(graph.object_graph_def, names)
        for function in functions:
            function.signature.name = names[function.signature.name]
            _rename_calls(function.node_def, names)
            _number_arguments(function)
        functions.sort(key=lambda one: one.signature.name)
    file.write_bytes(model.SerializeToString(deterministic=True))


def _split(name: str) -> tuple[str, str]:
    stem, _, number = name.rpartition("_")
    return stem, number


def _rename_calls(nodes: Iterable[Any], names: dict[str, str]) -> None:
    for node in nodes:
        for value in node.attr.values():
            if value.func.name in names:
                value.func.name = names[value.func.name]


def _rename_objects(objects: Any, names: dict[str, str]) -> None:
    for one in objects.nodes:
        if one.bare_concrete_function.concrete_function_name in names:
            one.bare_concrete_function.concrete_function_name = names[one.bare_concrete_function.concrete_function_name]
    for old, new in names.items():
        if old in objects.concrete_functions:
            objects.concrete_functions[new].CopyFrom(objects.concrete_functions[old])
            del objects.concrete_functions[old]


def _number_arguments(function: Any) -> None:
    names = {}
    for position, argument in enumerate(function.signature.input_arg):
        stem, number = _split(argument.name)
        if number.isdecimal():
            names[argument.name] = argument.name = f"{stem}_{position}"
    for node in function.node_def:
        node.input[:] = [names.get(text, text) for text in node.input]
    for position, attributes in function.arg_attr.items():
        name = attributes.attr.get(ARGUMENT_NAME)
        if name is not None and name.s.isdigit():
            name.s = str(position).encode()
