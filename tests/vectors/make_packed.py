"""Write packed.json: packed weights with the codes and float32 values they stand for, for Python and JavaScript alike.

And packed.safetensors: the same bytes as tensors `0.weight`, `0.scale`, `0.zero_point`, … of an integer artifact.

Run: python tests/vectors/make_packed.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from export.quantization.layers.packing import pack

SHAPES: dict[tuple[int, ...], list[tuple[int, ...]]] = {
    (5, 7): [(0, 1), (1, 0)],
    (3, 16): [(1, 0)],
    (4, 2, 3, 3): [(2, 3, 1, 0), (0, 1, 2, 3)],
}


def vectors() -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    found = []
    for bits in range(3, 9):
        for index, (shape, orders) in enumerate(SHAPES.items()):
            codes = random.integers(0, 1 << bits, (shape[0], int(np.prod(shape[1:]))), dtype=np.uint8)
            scale = random.uniform(1e-3, 1e-1, shape[0]).astype(np.float32)
            points = random.integers(0, 1 << bits, shape[0], dtype=np.uint8) if index == 1 else None
            offset = np.float32(2 ** (bits - 1)) if points is None else points.astype(np.float32)[:, None]
            values = ((codes.astype(np.float32) - offset) * scale[:, None]).reshape(shape)
            data = pack(codes, bits).tobytes() + scale.tobytes() + (b"" if points is None else points.tobytes())
            for axes in orders:
                packed = {"bits": bits, "shape": shape, "axes": axes, "zero_points": points is not None}
                placed = np.ascontiguousarray(values.transpose(axes)).ravel()
                found.append(
                    {"packed": packed, "bytes": list(data), "codes": codes.ravel().tolist(), "values": placed.tolist()}
                )
    return found


def tensors(found: list[dict[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Return what an integer artifact has for each vector: packed rows, scales and zero points."""
    cut: dict[str, np.ndarray[Any, Any]] = {}
    for index, vector in enumerate(found):
        rows, data = vector["packed"]["shape"][0], np.array(vector["bytes"], np.uint8)
        points = rows if vector["packed"]["zero_points"] else 0
        end = len(data) - points
        cut[f"{index}.weight"] = data[: end - 4 * rows].reshape(rows, -1)
        cut[f"{index}.scale"] = data[end - 4 * rows : end].view("<f4")
        if points:
            cut[f"{index}.zero_point"] = data[end:]
    return cut


if __name__ == "__main__":
    found = vectors()
    Path(__file__).with_name("packed.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
    Path(__file__).with_name("packed.safetensors").write_bytes(save(tensors(found), {"format": "test"}))
