"""Comparisons kept as one: rows of several runs on a model lie together, and other weights replace them."""

import json
from pathlib import Path

import pytest

from export.core.errors import RequestError
from export.page.reports.comparison.records import Comparison, read_comparison

KEPT = Path(__file__).parents[3] / ".github/steps_plain.json"


def write(folder: Path, name: str, command: str, **changes: object) -> Path:
    """Write what is kept of one model, with changes, as another run's file."""
    values = json.loads(KEPT.read_bytes())
    model = values["models"][0] | {"commands": [command]} | changes
    path = folder / name
    path.write_text(json.dumps(values | {"command": command, "models": [model]}))
    return path


def test_rows_of_several_runs_are_joined(tmp_path: Path) -> None:
    rows = json.loads(KEPT.read_bytes())["models"][0]["rows"]
    first = write(tmp_path, "first.json", "compare one", rows=rows[:3])
    second = write(tmp_path, "second.json", "compare two", rows=[rows[0], *rows[3:]])
    merged = read_comparison(first, second)
    (model,) = merged.models
    assert model.rows == Comparison.parse(KEPT.read_bytes()).models[0].rows
    assert model.commands == ("compare one", "compare two") and merged.command == "compare one; compare two"


@pytest.mark.parametrize("change", [{"weights_sha256": "f" * 64}, {"n": 7}, {"data": "other pictures"}])
def test_other_weights_or_images_replace_what_was_found(tmp_path: Path, change: dict[str, object]) -> None:
    rows = json.loads(KEPT.read_bytes())["models"][0]["rows"]
    old = write(tmp_path, "old.json", "old", rows=rows)
    new = write(tmp_path, "new.json", "new", rows=rows[:2], **change)
    (model,) = read_comparison(old, new).models
    assert len(model.rows) == 2 and model.commands == ("new",)


def test_features_of_a_model_lie_beside_its_classes(tmp_path: Path) -> None:
    classes, features = write(tmp_path, "a.json", "a"), write(tmp_path, "b.json", "b", features=True)
    assert [model.features for model in read_comparison(classes, features).models] == [False, True]


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"mine": 1}')
    with pytest.raises(RequestError, match=r"other\.json is not a comparison"):
        read_comparison(write(tmp_path, "a.json", "a"), tmp_path / "other.json")
