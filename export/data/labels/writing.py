"""Whether names can be written: as UTF-8 text, and without signs that no name has."""

import unicodedata
from collections.abc import Iterable

from export.core.errors import RequestError

# By Unicode's category of a character: what keeps a name from being written.
UNWRITABLE = {"Cc": "has a control character, as binary files do", "Cs": "is not UTF-8 text"}


def is_writable(name: str) -> bool:
    """Say whether a name is text in UTF-8, without control characters."""
    return not any(unicodedata.category(character) in UNWRITABLE for character in name)


def require_writable(names: Iterable[str], source: str) -> None:
    """Raise `RequestError` for a name that cannot be written; `source` says whose names they are."""
    for name in names:
        if not is_writable(name):
            reason = next(UNWRITABLE[kind] for kind in map(unicodedata.category, name) if kind in UNWRITABLE)
            raise RequestError(
                f"{source}: the name {name!a} {reason}",
                hint="write it in UTF-8; convmv -f latin1 -t utf8 -r --notest FOLDER renames folders named in Latin-1",
            )
