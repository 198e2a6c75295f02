"""Heat maps of layers: a row for each block, a column for each tensor of its layers, the SQNR of the outputs in dB."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from export.core.figures.fidelity import EQUAL_DB
from export.core.records import ModelSpec
from export.models.catalog import MODELS
from export.page.content.inventory import PublishedModel
from export.page.reports.analysis.records import COMMAND, AnalysisFile, AnalysisSummary, LayerSensitivity

BLOCK = re.compile(r"(.*\.\d+)\.(.+)")  # a block's name, and that of a layer in it
SHADES = 6  # of the cells, none for the highest SQNR; each has a class in figures.css
MARKED = 5  # layers that cost most
RECIPE = "w4a8_gptq"  # what is analysed unless told otherwise
PRODUCTS = {"product_qk": "q·kᵀ", "product_av": "softmax·v"}
TENSORS = {"weights": "weights", "activations": "input"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """The SQNR of the outputs with only this tensor quantized; `shade` 0 is the highest, `worst` of a layer to mark."""

    sqnr_db: float
    shade: int
    worst: bool

    @property
    def identical(self) -> bool:
        """Whether the outputs are those of the float model."""
        return self.sqnr_db >= EQUAL_DB


Cells = dict[tuple[str, str], HeatCell]  # by layer and tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatColumn:
    """A layer's title and which of its tensors are quantized."""

    layer: str
    tensors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """A block, or a layer outside the blocks, and a cell for each column, None where it has no such tensor."""

    title: str
    cells: tuple[HeatCell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatTable:
    """The layers in the blocks, or those outside; `first` is the title of the rows' column."""

    title: str
    first: str
    columns: tuple[HeatColumn, ...]
    rows: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """One recipe's tables, and the layers that are marked, the worst first."""

    recipe: str
    summary: AnalysisSummary
    tables: tuple[HeatTable, ...]
    worst: tuple[LayerSensitivity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """All heat maps of a model, and the command that measures one; without `complete` it lacks the model's options."""

    maps: tuple[HeatMap, ...]
    command: str
    complete: bool


def layer_costs(model: PublishedModel, file: AnalysisFile) -> tuple[LayerCosts, list[str]]:
    """Return what was measured with a model's weights, and notes on what was measured with others."""
    found = file.models[model.spec.name].recipes if model.spec.name in file.models else {}
    own = {name: one for name, one in found.items() if one.weights_sha256 == model.spec.weights_sha256}
    notes = [
        f"the analysis of {model.spec.name} by {name} is of other weights and is not shown"
        for name in found
        if name not in own
    ]
    maps = tuple(heat_map(name, summary) for name, summary in own.items())
    recipe = next((one.recipe.name for one in model.variants if one.recipe.quantization is not None), RECIPE)
    return LayerCosts(maps=maps, command=_command(model.spec, recipe), complete=model.spec.name in MODELS), notes


def _command(spec: ModelSpec, recipe: str) -> str:
    named = f" --model {spec.name}" if spec.name in MODELS else ""
    return f"{COMMAND}{named} --recipe {recipe}"


def heat_map(recipe: str, summary: AnalysisSummary) -> HeatMap:
    """Return the tables of one analysis: the blocks, then the layers outside of them."""
    worst = summary.ranked[:MARKED]
    marked = {_lowest(summary.layers, layer.layer) for layer in worst}
    measured = [row for row in summary.layers if row.tensors != "both"]
    finite = [row.sqnr_db for row in measured if row.sqnr_db < EQUAL_DB]
    scale = (min(finite), max(finite)) if finite else (0.0, 0.0)
    cells: Cells = {
        (row.layer, row.tensors): HeatCell(
            sqnr_db=row.sqnr_db, shade=_shade(row.sqnr_db, *scale), worst=(row.layer, row.tensors) in marked
        )
        for row in measured
    }
    inside = [row for row in measured if BLOCK.fullmatch(row.layer)]
    outside = [row for row in measured if not BLOCK.fullmatch(row.layer)]
    tables = [_blocks(inside, cells)] if inside else []
    tables += [_outside(outside, cells)] if outside else []
    return HeatMap(recipe=recipe, summary=summary, tables=tuple(tables), worst=tuple(worst))


def _lowest(rows: Iterable[LayerSensitivity], layer: str) -> tuple[str, str]:
    """Return the tensors of a layer that alone cost the outputs most."""
    parts = [row for row in rows if row.layer == layer and row.tensors != "both"]
    return layer, min(parts, key=lambda row: row.sqnr_db).tensors


def _shade(value: float, lowest: float, highest: float) -> int:
    if value >= highest or highest == lowest:
        return 0
    return min(SHADES - 1, int(SHADES * (highest - value) / (highest - lowest)))


def _blocks(rows: Sequence[LayerSensitivity], cells: Cells) -> HeatTable:
    names = {row.layer: _split(row.layer) for row in rows}
    columns = dict.fromkeys((names[row.layer][1], row.tensors) for row in rows)
    blocks = list(dict.fromkeys(block for block, _ in names.values()))
    roles = {names[row.layer][1]: row.role for row in rows}
    shared = _shared_prefix(blocks)
    return HeatTable(
        title="Layers in blocks",
        first="block",
        columns=tuple(
            HeatColumn(layer=_title(name, roles[name], roles), tensors=_tensors(roles[name], tensors))
            for name, tensors in columns
        ),
        rows=tuple(
            HeatRow(
                title=block.removeprefix(shared),
                cells=tuple(cells.get((f"{block}.{name}", tensors)) for name, tensors in columns),
            )
            for block in blocks
        ),
    )


def _outside(rows: Sequence[LayerSensitivity], cells: Cells) -> HeatTable:
    columns = dict.fromkeys(row.tensors for row in rows)
    return HeatTable(
        title="Layers outside blocks",
        first="layer",
        columns=tuple(HeatColumn(layer="", tensors=TENSORS[tensors]) for tensors in columns),
        rows=tuple(
            HeatRow(title=layer, cells=tuple(cells.get((layer, tensors)) for tensors in columns))
            for layer in dict.fromkeys(row.layer for row in rows)
        ),
    )


def _split(layer: str) -> tuple[str, str]:
    matched = BLOCK.fullmatch(layer)
    assert matched is not None, "asked of layers in blocks alone"
    return matched[1], matched[2]


def _shared_prefix(blocks: Sequence[str]) -> str:
    """Return the leading parts that all blocks' names have, with a final dot: `blocks.`."""
    parts = [block.split(".")[:-1] for block in blocks]
    shared = []
    for part in zip(*parts, strict=False):
        if len(set(part)) > 1:
            break
        shared.append(f"{part[0]}.")
    return "".join(shared)


def _title(name: str, role: str, names: Collection[str]) -> str:
    """Return the last part of a layer's name where that says which one it is."""
    last = name.rpartition(".")[2]
    unique = sum(other.rpartition(".")[2] == last for other in names) == 1
    return PRODUCTS.get(role) or (last if unique and not last.isdigit() else name)


def _tensors(role: str, tensors: str) -> str:
    return "inputs" if role in PRODUCTS else TENSORS[tensors]
