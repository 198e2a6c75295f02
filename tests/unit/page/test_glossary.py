"""The glossary is in order, and names what exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "glossary.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| term")
]


def test_terms_are_in_alphabetical_order_and_each_is_there_once() -> None:
    terms = [row[0] for row in ROWS]
    assert len(terms) >= 50 and len(set(terms)) == len(terms)
    assert terms == sorted(terms, key=lambda term: re.sub(r"[\W_]", " ", term.casefold()))


def test_places_in_the_code_exist() -> None:
    for term, _, place, *_ in ROWS:
        (path,) = re.findall(r"`([^`]+)`", place)
        assert (ROOT / path).exists(), term


def test_sources_are_listed() -> None:
    cited = set(re.findall(r"\[([\w-]+)\](?![:(])", TEXT))
    assert cited == set(re.findall(r"^\[([\w-]+)\]:", TEXT, re.MULTILINE))
