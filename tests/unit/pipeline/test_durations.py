"""The time left: from earlier builds where there were some, for the slower of two lanes, and less as time goes by."""

import time
from pathlib import Path

import pytest

from export.pipeline.durations import FILE, PAGE, Duration, Durations, TimeLeft

PLACE = ("safetensors", "w8a8_gptq")


def measured(model: str, parameters: int, seconds: float) -> Duration:
    format, recipe = PLACE
    return Duration(model=model, format=format, recipe=recipe, parameters=parameters, seconds=seconds)


def test_the_model_s_own_duration_counts_else_one_of_another_size_else_a_typical_one(tmp_path: Path) -> None:
    assert Durations(tmp_path).estimate("deit_t", PLACE, 5_700_000) == pytest.approx(25)
    Durations(tmp_path).add(measured("deit_t", 5_000_000, 40))
    assert Durations(tmp_path).estimate("deit_t", PLACE, 5_000_000) == 40
    assert Durations(tmp_path).estimate("vit_s", PLACE, 20_000_000) == 160
    Durations(tmp_path).add(measured("vit_s", 20_000_000, 90))
    assert Durations(tmp_path).estimate("vit_s", PLACE, 20_000_000) == 90
    assert Durations(tmp_path).estimate("", PAGE, 0) == 5
    Durations(tmp_path).add_page(8.0)
    assert Durations(tmp_path).estimate("", PAGE, 0) == 8


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 9, "durations": []}', '{"schema_version": 1}'])
def test_a_file_of_another_version_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    durations = Durations(tmp_path)
    durations.add(measured("deit_t", 5_000_000, 40))
    assert Durations(tmp_path).estimate("deit_t", PLACE, 5_000_000) == 40


def test_the_slower_lane_decides_and_the_pace_is_that_of_this_machine() -> None:
    left = TimeLeft({("a", ""): 10, ("b", ""): 20, ("c", ""): 50}, beside=[("c", "")], after=5)
    assert left.seconds() == pytest.approx(55)
    left.start(("a", ""))
    left.finish(("a", ""), 20.0)  # twice as slow as expected
    assert left.seconds() == pytest.approx(105)
    left.finish(("c", ""), 100.0)
    assert left.seconds() == pytest.approx(45)
    left.finish(("b", ""), 40.0)
    assert str(left) == "about 5 s left"
    assert str(TimeLeft({})) == ""


def test_what_runs_takes_less_and_less() -> None:
    left = TimeLeft({("a", ""): 100})
    left.start(("a", ""))
    before = left.seconds()
    time.sleep(0.01)
    assert left.seconds() < before <= 100
