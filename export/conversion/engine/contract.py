"""The contract of the vit engine: what its C, the page and the converter agree on, from the one file that says it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError
from export.core.paths import ENGINE_SOURCE

CONTRACT: dict[str, Any] = json.loads((ENGINE_SOURCE / "contract.json").read_text("ascii"))
C_TYPES = {"int32": "int32_t", "float32": "float"}
# C's prefix for the names of a table.
ENUMS = {"limits": "", "float_bits": "FLOAT_BITS_", "pools": "POOL_", "flags": "FLAG_", "floats": "FLOAT_"}
BIT_SETS = ("flags", "floats")


def _values(table: str) -> dict[str, int]:
    return {name: entry["value"] for name, entry in CONTRACT[table].items()}


FORMAT: str = CONTRACT["format"]
VERSION: int = CONTRACT["version"]
WIDTH_MULTIPLE = _values("limits")["width_multiple"]
POOLS, FLAGS, FLOATS = _values("pools"), _values("flags"), _values("floats")
FILE_FIELDS = tuple(field["name"] for field in CONTRACT["description"] if field["from"] == "file")


def require_version(metadata: dict[str, str], path: Path) -> None:
    """Raise `ArtifactError` unless a file's metadata are those of this version of the engine's format."""
    found = metadata.get("format"), metadata.get("schema_version")
    if found != (FORMAT, str(VERSION)):
        raise ArtifactError(
            f"{path} is “{found[0]}”, version {found[1]}; expected “{FORMAT}”, version {VERSION}",
            hint="build again with --force",
        )


def fingerprint() -> int:
    """Return the FNV-1a hash of the contract, which the page compares with that of the engine it loads."""
    found = 0x811C9DC5
    for byte in json.dumps(CONTRACT, separators=(",", ":")).encode("ascii"):
        found = (found ^ byte) * 0x01000193 % 2**32
    return found


def header() -> str:
    """Return the contract as a C header."""
    return "\n".join(
        ["// Made from contract.json.", "#pragma once", "", "#include <stdint.h>", "", *_declarations(), ""]
    )


def _declarations() -> Iterator[str]:
    yield f"#define CONTRACT_FINGERPRINT {fingerprint():#x}u"
    for table, prefix in ENUMS.items():
        yield from ("", f"enum {{  // {table}")
        for name, entry in CONTRACT[table].items():
            yield f"  {prefix}{name.upper()} = {entry['value']},  // {entry['meaning']}"
        if table in BIT_SETS:
            yield f"  {prefix}ALL = {sum(_values(table).values())},"
        yield "};"
    yield from ("", "typedef enum {")
    for fault in CONTRACT["faults"]:
        yield f"  FAULT_{fault['name'].upper()},  // {fault['message']}"
    yield from ("} Fault;", "", "typedef struct {")
    for field in CONTRACT["description"]:
        yield f"  {C_TYPES[field['type']]} {field['name']};  // {field['meaning']}"
    yield "} Description;"
