"""Integers of 3 to 8 bits packed into bytes, little-endian in bits as in bytes, each row padded to whole bytes."""

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ArtifactError


def row_bytes(columns: int, bits: int) -> int:
    """Return how many bytes a row of `columns` integers takes."""
    return (columns * bits + 7) // 8


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack codes `[rows, columns]` of 0 to 2**bits - 1 into bytes `[rows, row_bytes]`.

    Bit i of code j is bit (j·bits + i) of the row, counted from the lowest bit of its first byte. Raises
    `ArtifactError` for codes that need more bits.
    """
    if codes.size and int(codes.max()) >= 1 << bits:
        raise ArtifactError(f"a code of {int(codes.max())} does not fit in {bits} bits")
    planes = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(planes.reshape(len(codes), -1), axis=1, bitorder="little")


def unpack(packed: NDArray[np.uint8], columns: int, bits: int) -> NDArray[np.uint8]:
    """Return the codes `[rows, columns]` of packed bytes; raises `ArtifactError` when the rows have another length."""
    if packed.ndim != 2 or packed.shape[1] != row_bytes(columns, bits):
        raise ArtifactError(f"packed rows of shape {packed.shape} do not contain {columns} integers of {bits} bits")
    planes = np.unpackbits(packed, axis=1, count=columns * bits, bitorder="little")
    return np.packbits(planes.reshape(len(packed), columns, bits), axis=2, bitorder="little")[:, :, 0]
