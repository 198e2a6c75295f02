"""What a model card, the README.md beside weights, states of the licence."""

import re
from pathlib import Path

from export.core.console import say

FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
LICENCE = re.compile(r"^(license|license_name)\s*:\s*[\"']?(?P<name>[^\"'#\n\[\]]+?)[\"']?\s*$", re.MULTILINE)
UNKNOWN = ("other", "unknown", "unlicense?")  # names that say nothing


def stated_licence(folder: Path) -> str:
    """Return the licence in the front matter of a folder's model card, or nothing."""
    card = folder / "README.md"
    matter = FRONT_MATTER.match(card.read_text("utf-8", errors="replace")) if card.is_file() else None
    names = [found["name"].strip() for found in LICENCE.finditer(matter[1])] if matter else []
    licence = next((name for name in names if name.lower() not in UNKNOWN), "")
    if licence:
        say(f"note: {card} states the licence {licence}; pass --licence for another")
    return licence
