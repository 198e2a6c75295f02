"""A TF.js graph model as bytes, model.json and its weight shards: read back, and verified against what was written."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ConversionError
from export.quantization.layers.packing import row_bytes, unpack

MODEL = "model.json"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """The constant `name` in the shards: `stored` as written, `values` as the runtime dequantizes it.

    `dtype` is the type of the stored bytes; `scale` and `minimum` are those of an integer: value = q·scale + minimum.
    """

    name: str
    dtype: str
    stored: NDArray[Any]
    values: NDArray[Any]
    scale: float | None = None
    minimum: float | None = None


def same_bits(values: NDArray[Any], wanted: NDArray[Any]) -> bool:
    """Tell whether both are equal bit for bit: 0 is not -0."""
    return bool(np.array_equal(values, wanted) and np.array_equal(np.signbit(values), np.signbit(wanted)))


def read_tensors(folder: Path, model: str = MODEL) -> dict[str, StoredTensor]:
    """Read every constant that a model lists from the bytes; raises `ConversionError` where sizes do not add up."""
    manifest = json.loads((folder / model).read_text("utf-8"))["weightsManifest"]
    return {tensor.name: tensor for group in manifest for tensor in _read_group(folder, group)}


def _read_group(folder: Path, group: dict[str, Any]) -> Iterator[StoredTensor]:
    data = b"".join((folder / path).read_bytes() for path in group["paths"])
    offset = 0
    for entry in group["weights"]:
        if "packed" in entry:
            tensor, offset = _read_packed(folder, entry, data, offset)
            yield tensor
            continue
        coding = entry.get("quantization", {})
        dtype = np.dtype(coding.get("dtype", entry["dtype"])).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if offset + count * dtype.itemsize > len(data):
            raise ConversionError(f"{folder / MODEL}: the shards end within {entry['name']}")
        stored = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
        offset += stored.nbytes
        scale, minimum = coding.get("scale"), coding.get("min")
        values = stored.astype(entry["dtype"])
        if scale is not None:
            values = (stored.astype(np.float64) * scale + minimum).astype(entry["dtype"])
        yield StoredTensor(entry["name"], dtype.name, stored, values, scale, minimum)
    if offset != len(data):
        raise ConversionError(
            f"{folder / MODEL}: the shards have {len(data)} bytes, but the manifest describes {offset}"
        )


def _read_packed(folder: Path, entry: dict[str, Any], data: bytes, offset: int) -> tuple[StoredTensor, int]:
    """Return a weight that is packed with a scale per output channel (see `packed`), and where its bytes end."""
    bits, shape = int(entry["packed"]["bits"]), entry["packed"]["shape"]
    rows, columns = shape[0], int(np.prod(shape[1:]))
    sizes = (rows * row_bytes(columns, bits), 4 * rows, rows if entry["packed"]["zero_points"] else 0)
    if offset + sum(sizes) > len(data):
        raise ConversionError(f"{folder / MODEL}: the shards end within {entry['name']}")
    packed, scales, points = (
        data[start : start + size] for start, size in zip(itertools.accumulate((offset, *sizes)), sizes, strict=False)
    )
    codes = unpack(np.frombuffer(packed, np.uint8).reshape(rows, -1), columns, bits)
    zero_point = np.frombuffer(points, np.uint8).astype(np.float32)[:, None] if points else np.float32(2 ** (bits - 1))
    values = (codes.astype(np.float32) - zero_point) * np.frombuffer(scales, "<f4")[:, None]
    placed = values.reshape(shape).transpose(entry["packed"]["axes"]).reshape(entry["shape"])
    return StoredTensor(entry["name"], f"int{bits}", codes, np.ascontiguousarray(placed)), offset + sum(sizes)


def check_tensors(folder: Path, parent: dict[str, NDArray[Any]], chosen: set[str], dtype: str) -> None:
    """Verify from the bytes that exactly the `chosen` constants are stored as `dtype`, each within its rounding error.

    uint8 may be off by half a scale, float16 by 2⁻¹¹ of the value (and 2⁻²⁵ near zero); all others are equal bit for
    bit. Raises `ConversionError` naming the first constant that is not so.
    """
    tensors = read_tensors(folder)
    if set(tensors) != set(parent):
        raise ConversionError(f"{folder}: constants lost or added: {sorted(set(tensors) ^ set(parent))[:5]}")
    for name, tensor in tensors.items():
        wanted = dtype if name in chosen else parent[name].dtype.name
        if tensor.dtype != wanted or tensor.values.shape != parent[name].shape:
            raise ConversionError(f"{folder}: {name} is {tensor.dtype} {tensor.values.shape}, expected {wanted}")
        error = np.abs(tensor.values.astype(np.float64) - parent[name])
        excess = error - _allowed(tensor, parent[name])
        if not bool(np.all(excess <= 0)):  # written so that values that are not numbers fail
            raise ConversionError(
                f"{folder}: {name}, stored as {tensor.dtype}, is off by {error.max():.3g}",
                hint="the weights' range is too large for this storage type; choose a recipe with more bits",
            )


def _allowed(tensor: StoredTensor, parent: NDArray[Any]) -> NDArray[np.float64]:
    magnitude = np.abs(parent.astype(np.float64))
    if tensor.scale is not None:
        assert tensor.minimum is not None
        rounding = np.finfo(np.float32).eps * (magnitude + abs(tensor.minimum))
        return tensor.scale / 2 * (1 + 1e-6) + rounding
    if tensor.dtype == "float16":
        return np.maximum(magnitude * 2.0**-11, 2.0**-25)
    return np.zeros_like(magnitude)
