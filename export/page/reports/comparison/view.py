"""What the results page shows of a comparison: the tables of a model with the weights that the page has."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export.core.paths import RESOURCES
from export.models.catalog import MODELS
from export.page.content.inventory import PublishedModel
from export.page.reports.comparison.records import Comparison, ModelComparison, read_comparison
from export.page.reports.comparison.tables import intro, model_tables
from export.page.reports.markdown import Table

COMMAND = "python -m export.compare"
KEPT, OWN = Path(".github/comparison.json"), Path("compare/comparison.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The tables of one model, none where nothing was compared, and the commands that found or would find them.

    `intro` says of which images, where and with what; without `complete` the command lacks the model's options.
    """

    intro: str
    tables: tuple[Table, ...]
    commands: tuple[str, ...]
    complete: bool


def comparison_files(artifacts: Path) -> list[Path]:
    """Return the files that a page may show: what comes along, then what was compared among the artifacts."""
    return [path for path in (RESOURCES / KEPT, artifacts / OWN) if path.is_file()]


def read_comparisons(paths: Iterable[Path]) -> tuple[ModelComparison, ...]:
    """Return what was found of every model; raises `RequestError` for a file of another kind."""
    found: Comparison = read_comparison(*paths)
    return found.models


def compared(model: PublishedModel, found: Iterable[ModelComparison]) -> tuple[Compared, list[str]]:
    """Return what was compared with a model's weights, and notes on what was compared with others."""
    spec = model.spec
    same = [one for one in found if (one.model, one.features) == (spec.name, spec.features)]
    for one in same:
        if one.weights_sha256 == spec.weights_sha256:
            tables = tuple(model_tables(one))
            return Compared(intro=intro(one), tables=tables, commands=one.commands, complete=True), []
    known = spec.name in MODELS
    command = f"{COMMAND} --model {spec.name}" if known else COMMAND
    notes = [f"the comparison of {spec.name} is of other weights and is not shown"] if same else []
    return Compared(intro="", tables=(), commands=(command,), complete=known), notes
