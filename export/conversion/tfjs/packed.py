"""A TF.js graph model that stores a recipe's own integers: nothing is rounded a second time.

A weight with one scale becomes TF.js's uint8 with `scale` and `min`. One with a scale per output channel is packed at
the recipe's bits, which the page's loader unpacks: the manifest's entry then has `packed` with `bits`, the original
weight's `shape` [out, …], `axes` (how it was transposed to the constant's) and `zero_points`; its bytes are the packed
rows, float32 scales and, with `zero_points`, uint8 zero points. A layer that was split by heads is several such
weights, each some of its output channels. What the integer artifact holds as float16 is stored so.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.conversion.tfjs.files import MODEL, StoredTensor, read_tensors, same_bits
from export.core.errors import ConversionError
from export.quantization.integer_file import read_tensors as read_integers
from export.quantization.layers.packing import pack, unpack

SHARD = "group1-shard1of1.bin"
Entry = dict[str, Any]


@dataclass(frozen=True)
class IntegerWeight:
    """A layer's weight as the integer artifact has it, `shape` [out, …].

    `codes` are uint8 [out, in], unpacked from `bits`; `scale` and `zero_point` are [out], the latter None if symmetric.
    """

    shape: tuple[int, ...]
    bits: int
    codes: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.uint8] | None

    def part(self, rows: slice) -> "IntegerWeight":
        """Return the weight of the output channels `rows`."""
        points = None if self.zero_point is None else self.zero_point[rows]
        codes = self.codes[rows]
        return IntegerWeight((len(codes), *self.shape[1:]), self.bits, codes, self.scale[rows], points)

    def points(self) -> NDArray[np.float32]:
        """Return the zero point of each output channel, [out, 1]."""
        if self.zero_point is None:
            return np.full((len(self.codes), 1), 2.0 ** (self.bits - 1), np.float32)
        return self.zero_point.astype(np.float32)[:, None]

    def values(self) -> NDArray[np.float32]:
        """Return the dequantized weight, float32, in its own shape."""
        return ((self.codes.astype(np.float32) - self.points()) * self.scale[:, None]).reshape(self.shape)


def integer_weights(file: Path) -> dict[str, IntegerWeight]:
    """Return the weights of an integer artifact by layer name."""
    header, tensors = read_integers(file)
    found = {}
    for name, record in json.loads(header["layers"]).items():
        if record["kind"] in ("linear", "conv2d"):
            shape, bits = tuple(record["shape"]), int(record["bits"])
            codes = unpack(tensors[f"{name}.weight"], prod(shape[1:]), bits)
            found[name] = IntegerWeight(shape, bits, codes, tensors[f"{name}.scale"], tensors.get(f"{name}.zero_point"))
    return found


def pack_weights(folder: Path, file: Path) -> dict[str, int]:
    """Rewrite the float32 graph model in `folder` so that it stores the integers of the artifact `file`.

    Returns the size in bytes of each constant that is stored as integers. Raises `ConversionError`, with `folder`
    unchanged, when a quantized weight is not in the graph bit for bit, and also when a constant would change.
    """
    constants = read_tensors(folder)
    matches = _match(integer_weights(file), constants)
    model = json.loads((folder / MODEL).read_text("utf-8"))
    entries: list[Entry] = []
    data: list[bytes] = []
    for entry in (entry for group in model["weightsManifest"] for entry in group["weights"]):
        stored, own = _encode(constants[entry["name"]], matches.get(entry["name"]))
        entries.append({"name": entry["name"], "shape": entry["shape"], "dtype": entry["dtype"], **stored})
        data.append(own)
    for group in model["weightsManifest"]:
        for path in group["paths"]:
            (folder / path).unlink()
    (folder / SHARD).write_bytes(b"".join(data))
    model["weightsManifest"] = [{"paths": [SHARD], "weights": entries}]
    (folder / MODEL).write_text(json.dumps(model, separators=(",", ":"), sort_keys=True), "utf-8")
    _verify(folder, constants)
    return {entry["name"]: len(own) for entry, own in zip(entries, data, strict=True) if entry["name"] in matches}


def _match(
    weights: dict[str, IntegerWeight], constants: dict[str, StoredTensor]
) -> dict[str, tuple[IntegerWeight, tuple[int, ...]]]:
    """Return for each constant that is a quantized weight or some heads' rows of one, transposed, that and the axes.

    Where layers have equal weights, or constants equal values, each constant still stands for what it is equal to.
    """
    matches: dict[str, tuple[IntegerWeight, tuple[int, ...]]] = {}
    for layer, weight in weights.items():
        values = weight.values()
        missing = np.ones(len(values), bool)
        for name, constant in constants.items():
            for rows, axes in _matching_rows(values, constant.values):
                matches[name] = (weight.part(rows), axes)
                missing[rows] = False
        if missing.any():
            raise ConversionError(
                f"no constant of the TF.js graph equals the quantized weight of {layer}: a converter has changed it",
                hint="the recipe can still be published in another format, or stored as u8",
            )
    return matches


def _matching_rows(weight: NDArray[np.float32], constant: NDArray[Any]) -> Iterator[tuple[slice, tuple[int, ...]]]:
    """Yield the rows of a weight `[out, …]` that equal the constant, among equal parts of it, and how transposed."""
    count, rest = divmod(constant.size * len(weight), weight.size)
    if rest or not count or len(weight) % count or constant.ndim < 2:
        return
    for start in range(0, len(weight), count):
        part = weight[start : start + count]
        if part.flat[0] == constant.flat[0] and (axes := _axes(part, constant)) is not None:
            yield slice(start, start + count), axes


def _axes(weight: NDArray[np.float32], constant: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the transposition under which the weight equals the constant, axes of size 1 aside, or None."""
    if weight.size != constant.size or constant.dtype != np.float32:
        return None
    sizes = tuple(size for size in constant.shape if size != 1)
    for axes in itertools.permutations(range(weight.ndim)):
        fits = tuple(weight.shape[axis] for axis in axes if weight.shape[axis] != 1) == sizes
        if fits and same_bits(weight.transpose(axes).reshape(constant.shape), constant):
            return axes
    return None


def _encode(constant: StoredTensor, matches: tuple[IntegerWeight, tuple[int, ...]] | None) -> tuple[Entry, bytes]:
    """Return the manifest's entry for a constant's bytes, and the bytes."""
    if matches is None:
        return _encode_float(constant.values)
    weight, axes = matches
    points, scale = weight.points(), weight.scale
    if (scale == scale[0]).all() and (points == points[0]).all():
        tensor_scale = float(scale[0])
        coding = {
            "dtype": "uint8",
            "scale": tensor_scale,
            "min": -float(points[0, 0]) * tensor_scale,
            "original_dtype": "float32",
        }
        return {"quantization": coding}, weight.codes.reshape(weight.shape).transpose(axes).tobytes()
    rows = pack(weight.codes, weight.bits).tobytes() + scale.astype("<f4").tobytes()
    record = {
        "bits": weight.bits,
        "shape": list(weight.shape),
        "axes": list(axes),
        "zero_points": weight.zero_point is not None,
    }
    return {"packed": record}, rows if weight.zero_point is None else rows + weight.zero_point.tobytes()


def _encode_float(values: NDArray[Any]) -> tuple[Entry, bytes]:
    if values.dtype == np.float32 and values.ndim:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is not equal
            half = values.astype("<f2")
        if np.array_equal(half, values):
            return {"quantization": {"dtype": "float16", "original_dtype": "float32"}}, half.tobytes()
    return {}, values.astype(values.dtype.newbyteorder("<")).tobytes()


def _verify(folder: Path, parent: dict[str, StoredTensor]) -> None:
    """Raise `ConversionError` unless every constant that the bytes stand for is its parent's, bit for bit."""
    for name, tensor in read_tensors(folder).items():
        if not same_bits(tensor.values, parent[name].values):
            raise ConversionError(f"{folder}: {name}, stored as {tensor.dtype}, is not the recipe's weight bit for bit")
