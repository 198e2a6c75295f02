"""Tables of classes, as CSV files, JSON records and data frames have them: which column names, and which one orders."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.core.console import several
from export.data.labels.doubts import require_no_other_order
from export.data.labels.parsed import NotLabels, Parsed, as_indices, complete_index, in_order, mostly_distinct

# Titles in lower case, without the signs between their words; the surest first.
NAME_TITLES = ("name", "label", "classname", "labelname", "title", "class", "category", "categoryname")
ID_TITLES = ("id", "index", "idx", "classid", "classindex", "classidx", "labelid", "labelindex", "categoryid")
EITHER = ("label", "class", "category")  # of numbers, ids; of text, names
SIGNS = (",", ";", "\t", "|")
RULE = re.compile(r"[\s|:-]+")  # between the head and the body of a table in Markdown
WORDNET_ID = re.compile(r"n\d{8}")


def plain_title(title: object) -> str:
    """Return a title or key without case and signs: class_name, className and `Class name` are the same."""
    return re.sub(r"[\W_]+", "", str(title)).casefold()


@dataclass(frozen=True, slots=True)
class Column:
    """The `cells` below a title, which is "" where none is known."""

    title: str
    cells: list[Any]

    def titled(self, titles: Sequence[str]) -> bool:
        """Say whether the title is one of these."""
        return plain_title(self.title) in titles


def from_lines(lines: Sequence[str], outputs: int) -> Parsed | None:
    """Read lines that are all divided into the same columns; None where they are not, or name nothing."""
    for sign in SIGNS:
        body = [line for line in lines if not ("-" in line and RULE.fullmatch(line))]
        if sign == "|":
            body = [line.strip().strip("|") for line in body]
        rows = [[cell.strip() for cell in row] for row in csv.reader(body, delimiter=sign)]
        parsed = from_rows(rows, outputs) if len(rows) == len(body) else None
        if parsed is not None:
            return parsed
    return None


def from_rows(rows: Sequence[Sequence[Any]], outputs: int | None) -> Parsed | None:
    """Read rows of as many cells; the first are titles where they are known ones, or where it is one row too many."""
    if not rows or {len(row) for row in rows} != {len(rows[0])}:
        return None
    untitled = [Column("", list(cells)) for cells in zip(*rows, strict=True)]
    if len(rows) > 2 and _has_titles(rows[0], rows[1:], surplus=len(rows) - 1 == outputs):
        columns = [Column(str(column.cells[0]), column.cells[1:]) for column in untitled]
        return from_columns([column for column in columns if any(map(_filled, column.cells))], titled=True)
    columns = [column for column in untitled if any(map(_filled, column.cells))]
    return from_columns(columns, titled=False) if len(columns) > 1 else None


def _filled(cell: Any) -> bool:
    return bool(str(cell).strip())


def _has_titles(first: Sequence[Any], body: Sequence[Sequence[Any]], *, surplus: bool) -> bool:
    """Say whether the first row is titles: two of them known, or, where it is one row too many, one or an index's."""
    if any(as_indices([cell]) is not None for cell in first):
        return False
    titles = [plain_title(cell) for cell in first]
    names, ids = (any(title in known for title in titles) for known in (NAME_TITLES, ID_TITLES))
    return (names and ids) or (
        surplus and (names or any(complete_index(cells) is not None for cells in zip(*body, strict=True)))
    )


def from_records(records: Sequence[Mapping[Any, Any]]) -> Parsed:
    """Read what data sets call categories: [{"id": 0, "name": …}, …]."""
    keys = [key for key in records[0] if all(key in record for record in records)]
    columns = [Column(str(key), [record[key] for record in records]) for key in keys]
    partly = {key for record in records for key in record if key not in keys and plain_title(key) in ID_TITLES}
    if partly:
        raise NotLabels(f"has {several(sorted(map(str, partly)))} in some of its dicts, but not in all")
    parsed = from_columns(columns, titled=True) if any(column.titled(NAME_TITLES) for column in columns) else None
    if parsed is None:
        raise NotLabels(f"is a list of dicts without a name; their keys: {', '.join(map(str, records[0]))}")
    return Parsed(parsed.values, tuple(note for note in parsed.notes if "column" not in note))


def from_columns(columns: Sequence[Column], *, titled: bool) -> Parsed | None:
    """Return the names of a table in the order of its index; None where columns without titles are no table.

    Raises `NotLabels` where several columns may be the names, or order them differently.
    """
    index = _index_column(columns)
    name = _name_column([column for column in columns if column is not index], titled=titled or index is not None)
    if name is None and titled:
        titles = several([repr(column.title) for column in columns])
        raise NotLabels(f"is a table whose column of names cannot be told; its columns: {titles}")
    if name is None or (index is None and not titled):
        return None
    shown = name.title or f"{columns.index(name) + 1}"
    notes = (f"note: using the labels in the column {shown!r}",) if len(columns) != 2 else ()
    if index is None:
        require_no_other_order(["\t".join(map(str, cells)) for cells in zip(*(c.cells for c in columns), strict=True)])
        return Parsed(name.cells, notes)
    if not titled and not mostly_distinct(name.cells):
        return None  # the numbers are part of the names, such as 0,5 mm
    _require_one_order(columns, index)
    parsed = in_order(as_indices(index.cells) or [], name.cells, said=True)
    return Parsed(parsed.values, notes + parsed.notes)


def _index_column(columns: Sequence[Column]) -> Column | None:
    """Return the column that orders: one of indices with such a title, else one that is a complete index."""
    numbered = [column for column in columns if as_indices(column.cells) is not None]
    complete = [column for column in numbered if complete_index(column.cells) is not None]
    for titles in (ID_TITLES, EITHER if len(columns) > 1 else ()):
        for among in (complete, numbered):
            found = next((column for title in titles for column in among if column.titled((title,))), None)
            if found is not None:
                return found
    return complete[0] if complete else None


def _require_one_order(columns: Sequence[Column], index: Column) -> None:
    """Raise `NotLabels` where another column that may be the index has another order."""
    known = (*ID_TITLES, *EITHER)
    rivals = [column for column in columns if column.titled(known) or not index.titled(known)]
    for rival in rivals:
        taken, other = complete_index(index.cells), complete_index(rival.cells)
        if taken and other and [at - min(taken) for at in taken] != [at - min(other) for at in other]:
            titles = f"{index.title!r} and {rival.title!r}" if index.title else "two of them"
            raise NotLabels(f"has columns of numbers that order its labels differently: {titles}")


def _name_column(columns: Sequence[Column], *, titled: bool) -> Column | None:
    texts = [column for column in columns if as_indices(column.cells) is None]
    for among in (texts, columns):
        for title in NAME_TITLES:
            found = next((column for column in among if column.titled((title,))), None)
            if found is not None:
                return found
    names = [column for column in texts if not all(WORDNET_ID.fullmatch(str(cell)) for cell in column.cells)]
    return names[0] if titled and len(names) == 1 else None
