"""The tensors of a folder's files of weights, which may be several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.core.console import several
from export.core.errors import RequestError
from export.core.files import hash_file, hash_json
from export.models.checkpoint.content import read_content


def read_parts(paths: Sequence[Path]) -> dict[str, Any]:
    """Return what files of weights contain together; raises `RequestError` when one of them is none."""
    content: dict[str, Any] = {}
    for path in paths:
        part = read_content(path)
        twice = [name for name in part if name in content and name != "__metadata__"]
        if twice:
            raise RequestError(
                f"{path} has weights that another part has too: {several(twice)}",
                hint="copy or download the parts again",
            )
        content |= part
    return content


def hash_parts(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of a file of weights, or of the hashes of several."""
    hashes = [hash_file(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hash_json(hashes)
