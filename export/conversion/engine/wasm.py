"""The engine's WebAssembly in wasmtime, as an installed package runs it: the calls that the page makes, in Python.

All builds give the same bits, so one stands for all; the plain one needs least of a runtime.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from wasmtime import Engine, Instance, Limits, Memory, MemoryType, Module, Store

from export.conversion.engine.contract import CONTRACT, fingerprint, require_version
from export.core.errors import ConversionError

BUILD = "vit-plain.wasm"
PAGE_BYTES = 65536
SMALL_PAGES = 32  # of a first instance, which only tells how much memory the model needs
FLOAT_BITS = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}
AT_ONCE = {"threads": 1, "images": 1}


def run_wasm(file: Path, inputs: NDArray[np.float32], builds: Path) -> NDArray[np.float32]:
    """Run the engine's file, one image at a time: `[n, 3, H, W]` → `[n, K]`; `builds` is the folder of the builds.

    Raises `ArtifactError` for a file of another version, `ConversionError` when the engine refuses the model.
    """
    sizes, tensors = _read_plan(file)
    engine = Engine()
    module = Module.from_file(engine, str(builds / BUILD))
    needed = _Instance(engine, module, SMALL_PAGES, sizes).require("bytes_needed")
    instance = _Instance(engine, module, math.ceil(needed / PAGE_BYTES), sizes)
    instance.load(tensors)
    return np.stack([instance.run(image) for image in np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))])


def _read_plan(file: Path) -> tuple[dict[str, Any], list[tuple[NDArray[Any], int]]]:
    """Return the sizes, and in the engine's order the tensors with their bits."""
    with safe_open(file, "numpy") as opened:
        metadata = opened.metadata() or {}
        require_version(metadata, file)
        plan = json.loads(metadata["plan"])
        listed = [(opened.get_tensor(name), packed) for name, packed in plan["tensors"]]
    return plan["sizes"], [(tensor, packed or _float_bits(tensor)) for tensor, packed in listed]


def _float_bits(tensor: NDArray[Any]) -> int:
    bits: int = CONTRACT["float_bits"][FLOAT_BITS[tensor.dtype]]["value"]
    return bits


class _Instance:
    """A build of the engine in a memory of its own, told what the model is."""

    def __init__(self, engine: Engine, module: Module, pages: int, sizes: dict[str, Any]) -> None:
        self._store = Store(engine)
        memory = Memory(self._store, MemoryType(Limits(pages, pages)))
        self._exports = Instance(self._store, module, [memory]).exports(self._store)
        self._memory = np.ctypeslib.as_array(memory.get_buffer_ptr(self._store))
        if self._call("contract") % 2**32 != fingerprint():
            raise ConversionError(f"{BUILD} and the converter have different versions of the engine's contract")
        values = {**sizes, **AT_ONCE}
        fields = [np.array(values[field["name"]], field["type"]).tobytes() for field in CONTRACT["description"]]
        self._write(self._call("description"), b"".join(fields))

    def require(self, name: str, *values: int) -> int:
        """Return what an export gives; raises `ConversionError` for 0, which stands for a fault."""
        found = self._call(name, *values)
        if not found:
            fault = CONTRACT["faults"][self._call("fault")]["message"]
            raise ConversionError(f"the vit engine cannot run this model: {fault}")
        return int(found)

    def load(self, tensors: list[tuple[NDArray[Any], int]]) -> None:
        """Lay out the model and hand each tensor to the engine, which unpacks it."""
        slots = self.require("prepare")
        if slots != len(tensors):
            raise ConversionError(f"the model has {len(tensors)} tensors; the vit engine expects {slots}")
        for slot, (tensor, bits) in enumerate(tensors):
            self._write(self._call("staging"), tensor.tobytes())
            self.require("fill", slot, tensor.nbytes, bits)
        self.require("finish")

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map one image `[H, W, 3]` to outputs `[K]`."""
        self._write(self._call("input", 0), image.tobytes())
        self.require("run", 1)
        start, count = self._call("output", 0), self._call("outputs")
        outputs: NDArray[np.float32] = self._memory[start : start + 4 * count].view("<f4").copy()
        return outputs

    def _call(self, name: str, *values: int) -> Any:
        return self._exports[name](self._store, *values)  # type: ignore[operator]

    def _write(self, address: int, data: bytes) -> None:
        self._memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
