"""Lines of names: plain, numbered in the ways that people number, or with something around the names."""

import re
from collections.abc import Sequence

from export.data.labels.doubts import require_names
from export.data.labels.parsed import NotLabels, Parsed, in_order, mostly_distinct
from export.data.labels.tables import from_lines as from_table

# A number and a name: the number with what sets it apart, before or after. A hyphen needs space around it: 7-Eleven.
SEPARATOR = r"(?:\s*(?:[-=]>|→|[:;,=|\t)\]])\s*|\.\s*(?=[^\d\s])|\s+[-–—]\s+|\s+)"
NUMBER = r"""[\[("'#]?(?:(?:class|label|index|idx|id)[ _])?(?P<number>\d+)["']?"""
NUMBER_FIRST = re.compile(rf"{NUMBER}{SEPARATOR}(?P<name>.*\S)", re.IGNORECASE)
NUMBER_LAST = re.compile(r"(?P<name>.*\S)\s*(?:[-=]>|→|[:;,=|\t(\[])\s*(?P<number>\d+)[)\]]?,?")
NUMBER_LAST_APART = re.compile(r"(?P<name>.*\S)\s+(?P<number>\d+)")
# What sets numbers apart, but may also be part of names: 2-door, 24/7. Only a complete index tells.
NUMBER_FIRST_TIGHT = re.compile(r"(?P<number>\d+)(?:\s*[-–—_/~：．、]\s*|\.0+(?:\s+|\s*[,;:]\s*))(?P<name>[^\W\d_].*)")
# Behind a word of the file's own, the same in every line: output 0: a, labels[0] = 'a'.
NUMBER_BEHIND_WORD = re.compile(r"(?P<number>\d+)[\])]?\s*(?:[-=]>|→|[:=|])\s*(?P<name>.*\S)")
WORD = re.compile(r"[A-Za-z_.]+[ _\[(]*")
# Lines with numbers, and whether those can also be part of the names.
LINES = ((NUMBER_FIRST, False), (NUMBER_LAST, False), (NUMBER_LAST_APART, True), (NUMBER_FIRST_TIGHT, True))
QUOTED = re.compile(r"""(?P<quote>['"])(?P<name>(?:(?!(?P=quote)).)*)(?P=quote),?""")
# What lines of names may have around them, if all of them have it.
ORNAMENTS = (
    (QUOTED, "quotation marks"),
    (re.compile(r"[-*•]\s+(?P<name>.*)"), "list marks"),
    (re.compile(r"n\d{8}\s+(?P<name>.*\D.*)"), "WordNet ids"),
)


def parse_lines(lines: Sequence[str], outputs: int) -> Parsed:
    """Read lines without space around them; raises `NotLabels` where they are no names, or may be in another order."""
    if len(lines) == 1 and outputs > 1 and not re.search(r"[\[\](){}]", lines[0]):
        for sign in (",", ";", "\t"):
            names = [name.strip() for name in lines[0].strip(sign).split(sign)]
            if len(names) == outputs:
                listed = parse_lines(names, outputs)
                return Parsed(listed.values, ("note: labels are read from a single line", *listed.notes))
    table = from_table(lines, outputs)
    if table is not None:
        return table
    for pattern, title in ORNAMENTS:
        matched = [found["name"].strip() for line in lines if (found := pattern.fullmatch(line))]
        if lines and len(matched) == len(lines):
            listed = parse_lines(matched, outputs)
            return Parsed(listed.values, (f"note: labels are read without their {title}", *listed.notes))
    return _numbered(lines, outputs) or _named(lines, outputs)


def _numbered(lines: Sequence[str], outputs: int) -> Parsed | None:
    headed = len(lines) == outputs + 1 and len(lines) > 2  # perhaps, as in index,name
    for pattern, optional in LINES:
        for body in (lines, lines[1:]) if headed else (lines,):
            parsed = _by_number(body, pattern, optional=optional)
            if parsed is not None:
                return parsed
    word = WORD.match(lines[0]) if len(lines) > 1 else None
    if word is None or not all(line.startswith(word.group()) for line in lines):
        return None
    parsed = _by_number([line[word.end() :] for line in lines], NUMBER_BEHIND_WORD, optional=True)
    if parsed is not None:
        require_names(parsed.values)
    return parsed


def _by_number(lines: Sequence[str], pattern: re.Pattern[str], *, optional: bool) -> Parsed | None:
    """Read lines that all have a number; None where they have not.

    Numbers that are part of the names repeat many when taken away, or (where `optional`, or where they repeat some) are
    no complete index.
    """
    matched = [found for line in lines if (found := pattern.fullmatch(line))]
    names = [_unquoted(found["name"]) for found in matched]
    if not names or len(names) < len(lines) or not mostly_distinct(names):
        return None
    try:
        return in_order([int(found["number"]) for found in matched], names, said=True)
    except NotLabels:
        if optional or len(set(names)) < len(names):
            return None
        raise


def _named(lines: Sequence[str], outputs: int) -> Parsed:
    """Take lines as names, without the signs at their ends."""
    names, notes = list(lines), tuple[str, ...]()
    if len(lines) == outputs:  # else they are refused for their number
        require_names(names)
    if len(lines) > 2 and all(line.endswith((",", ";")) for line in lines[:-1]):
        names = [line.removesuffix(lines[0][-1]).strip() for line in lines]
        notes = ("note: labels are read without the signs at their ends",)
    return Parsed(names, notes)


def _unquoted(text: str) -> str:
    found = QUOTED.fullmatch(text.strip())
    return found["name"].strip() if found else text.strip().removesuffix(",").strip()
