"""Recipes by name and from files: what is said where they are not taken as they stand."""

import json
from pathlib import Path

import pytest

from export.quantization.recipes import find_recipe


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("w8_rtn", ""),
        ("w08_rtn", "note: w08_rtn is named w8_rtn\n"),
        ("w8a08_minmax", "note: w8a08_minmax is named w8a8_minmax\n"),
        ("w8a8_dynamic", "note: w8a8_dynamic is named w8_dynamic, which has 8-bit activations\n"),
        ("w4_dynamic", ""),
    ],
)
def test_another_name_than_the_recipes_own_is_said(name: str, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    find_recipe(name)
    said = capsys.readouterr()
    assert said.out + said.err == note


def test_types_that_a_recipe_file_states_wrongly_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = find_recipe("w8_rtn").to_json() | {"name": "mine", "storage_dtype": "layernrom"}
    (tmp_path / "mine.json").write_text(json.dumps(values), "utf-8")
    recipe = find_recipe(str(tmp_path / "mine.json"))
    assert (recipe.storage_dtype, recipe.compute_dtype) == ("int8", "float32")
    said = capsys.readouterr()
    assert said.out + said.err == ("note: storage_dtype of mine.json is int8, which its bits decide, not layernrom\n")
