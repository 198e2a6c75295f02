"""What makes lines doubtful as names: numbers that may be their order, and signs of programs and markup."""

import re
from collections.abc import Sequence

from export.data.labels.parsed import NotLabels

NUMBER = re.compile(r"0[xX][\da-fA-F]+|(?:(?<!\S)-)?\d+")
STARTS = (-1, 0, 1)  # of an index; some count what is no class as -1
NEAR = 2  # signs before and behind a number that may tell it from the others of its line
QUOTED_LISTED = r"""(['"])[^'"]*\1\s*,\s*(['"]).*"""
KEYWORDS = "return|import|from|def|class|const|let|var|case|static|public|export|using|function"
# What a line is like, by what it matches.
NOT_NAMES = (
    ("XML or HTML", re.compile(r".*(?:</\w|/>|<\w+\s+[\w:-]+=).*|<[\w:]+>.+")),
    ("code", re.compile(r".*(?:[\w=)]|\w:)\s*[\[{(]")),
    ("code", re.compile(r"[\]}][\]});,]*")),
    ("code", re.compile(QUOTED_LISTED)),
    ("code", re.compile(r'.*("""|\'\'\').*')),
    ("code", re.compile(r"""(?:[\w:<>*]+\s+)*[\w.]+(?:\[.*\])?\s*[:+]?=\s*['"\[({\d].*""")),
    ("code", re.compile(r"""[A-Za-z_][\w.]*\((?:.*['"=].*)?\)?[;,]?""")),
    ("code", re.compile(rf"(?:{KEYWORDS})\s.*[;:{{(\['\"]")),
    ("code", re.compile(r"import [\w.]+ as \w+|from [\w.]+ import .+")),
    ("a comment", re.compile(r"(?:#|//|/\*)\s.*|<!--.*")),
)


def require_names(names: Sequence[str]) -> None:
    """Raise `NotLabels` where lines are not names as they stand: they are numbered, or something else than names."""
    for name in names:
        kind = next((kind for kind, pattern in NOT_NAMES if pattern.fullmatch(name)), None)
        if kind is not None:
            raise NotLabels(f"has a line that looks like {kind}, not like a name: {name[:80]}")
    if len(names) > 1 and names[0].endswith(":") and all(name.startswith("- ") for name in names[1:]):
        raise NotLabels(f"looks like YAML, but is not named so: {names[0]}")
    require_no_other_order(names)


def require_no_other_order(names: Sequence[str]) -> None:
    """Raise `NotLabels` where numbers in the same place of every line are an index in another order than the lines.

    Where they are all that tells the lines apart, and these are sorted as text, as folders are, they are names.
    """
    places = [_numbers(name) for name in names]
    for place in set(places[0]).intersection(*places[1:]) if places else ():
        indices = [line[place] for line in places]
        ordered = sorted(indices)
        if indices == ordered or ordered[0] not in STARTS or ordered != list(range(ordered[0], ordered[-1] + 1)):
            continue
        if list(names) == sorted(names) and len({NUMBER.sub("", name) for name in names}) == 1:
            continue
        raise NotLabels(
            f"has numbered lines, whose numbers {ordered[0]} to {ordered[-1]} are in another order than the lines, "
            f"in a form that is not understood: {names[0][:80]}"
        )


def _numbers(name: str) -> dict[tuple[str, int | str], int]:
    """Return the numbers in a line by their place: counted from its start and its end, and by the signs around."""
    found = list(NUMBER.finditer(name))
    places: dict[tuple[str, int | str], int] = {}
    for at, match in enumerate(found):
        text = match.group()
        value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
        before, behind = name[max(0, match.start() - NEAR) : match.start()], name[match.end() : match.end() + NEAR]
        for place in (("first", at), ("last", len(found) - at), ("behind", before), ("before", behind)):
            places.setdefault(place, value)
    return places
