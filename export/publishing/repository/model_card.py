"""What a model card, the README.md beside weights, states of the licence."""

from pathlib import Path

from export.core.console import say
from export.models.folder import card
from export.models.folder.files import CARD


def stated_licence(folder: Path) -> str:
    """Return the licence in the front matter of a folder's model card and say so, or nothing."""
    licence = card.stated_licence(folder)
    if licence:
        say(f"note: {folder / CARD} states the licence {licence}; pass --licence for another")
    return licence
