"""The licence that a model card states: the README of a folder begins with a block of YAML, as the hub has it."""

import re
from pathlib import Path

from export.models.folder.files import CARD

BLOCK = re.compile(r"\A﻿?---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
FIELD = re.compile(
    r"^(license|license_name)[ \t]*:(.*(?:\n[ \t]*-[ \t].*)*)", re.MULTILINE
)  # a value, or a list below it
ITEM = re.compile(r"[^\s,\[\]'\"-][^,\[\]'\"]*")
COMMENT = re.compile(r"(^|\s)#.*")
NAMELESS = ("other", "unknown")  # what says nothing alone


def stated_licence(folder: Path) -> str:
    """Return the licence that a folder's card states, by its name where it is none of the usual ones; or ""."""
    path = folder / CARD
    block = BLOCK.match(path.read_text(errors="replace", encoding="utf-8")) if path.is_file() else None
    fields = dict(FIELD.findall(block[1].replace("\r", ""))) if block else {}
    named = [name for name in _items(fields.get("license", "")) if name.lower() not in NAMELESS]
    return ", ".join(named or _items(fields.get("license_name", "")))


def _items(text: str) -> list[str]:
    """Return what a value lists, on its line or below it; a comment is not part of it."""
    return [name.strip() for line in text.split("\n") for name in ITEM.findall(COMMENT.sub("", line))]
