"""The licence that a model card states: the README of a folder begins with a block of YAML, as the hub has it."""

import re
from pathlib import Path

from export.models.folder.files import CARD

BLOCK = re.compile(r"\A﻿?---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^(license|license_name|license_link):\s*['\"]?([^'\"#\n]+?)['\"]?\s*$", re.MULTILINE)


def stated_licence(folder: Path) -> str:
    """Return the licence that a folder's card states, by its name where it is none of the usual ones; or ""."""
    path = folder / CARD
    block = BLOCK.match(path.read_text(errors="replace")) if path.is_file() else None
    fields: dict[str, str] = dict(FIELD.findall(block[1])) if block else {}
    licence = fields.get("license", "")
    return fields.get("license_name", licence) if licence == "other" else licence
