"""Visits beside the command: which threads are the fastest, what is held to what, and the file of it."""

import json
import math
from pathlib import Path

import pytest
from msgspec import structs

from export.core.errors import RequestError
from export.core.records import Environment
from export.page.reports.measured.visits import (
    SCHEMA_VERSION,
    Visit,
    VisitFile,
    read_visits,
    verdicts,
    visits_section,
    visits_table,
)

HERE = Environment(
    machine="x86_64",
    os="Debian",
    cpu="Some CPU",
    logical_cores=2,
    browser="Chromium 1",
    user_agent="Mozilla",
    isolated=True,
    gpu="none",
)


def file_of(*visits: tuple[float, int, float, float]) -> VisitFile:
    return VisitFile(
        schema_version=SCHEMA_VERSION,
        environment=HERE,
        model="deit_t",
        variant="w8a8-vit",
        artifact_sha256="a" * 64,
        runs=50,
        visits=tuple(
            Visit(
                page_rounds_ms=(page / 1.01, page, page * 1.01),
                page_threads=threads,
                first_ms=(page, page + 1),
                command_rounds_ms={"1": (one, one), "2": (two / 1.02, two, two, two * 1.02)},
                command_first_ms=(two, two + 1),
            )
            for page, threads, one, two in visits
        ),
    )


def test_every_visit_must_be_near_the_command_with_its_threads() -> None:
    assert [one.passed for one in verdicts(file_of((24, 2, 42, 23), (25, 2, 42, 23)))] == [True, True, True]
    assert [one.passed for one in verdicts(file_of((24, 2, 42, 23), (42, 1, 42, 23)))] == [False, False, False]


def test_a_visit_beside_other_work_changes_nothing_about_the_fastest_number_of_threads() -> None:
    assert file_of((24, 2, 42, 23), (55, 2, 50, 52)).fastest_threads == {2}
    assert file_of((58, 1, 58, 61), (49, 1, 52, 49), (53, 1, 46, 52)).fastest_threads == {1, 2}


def test_numbers_of_threads_that_are_equally_fast_are_both_right() -> None:
    tie = file_of((65, 2, 66, 65), (66, 1, 66, 67), (65, 1, 67, 64))
    assert tie.fastest_threads == {1, 2}
    assert [one.passed for one in verdicts(tie)] == [True, True, True]
    # The lower of two that are equally fast is the luckier one: it is no fair figure for the page.
    lucky = file_of((55, 1, 56, 50), (50, 2, 46, 52))
    assert lucky.slower(lucky.visits[0]) == pytest.approx(55 / (56 * 50) ** 0.5)
    assert [lucky.slower(one) < 1.1 for one in lucky.visits] == [True, True]


def test_a_number_of_threads_that_is_slower_in_every_visit_is_wrong() -> None:
    clear = file_of((43, 1, 43, 47), (46, 2, 44, 46), (44, 1, 45, 48))
    assert clear.fastest_threads == {1}
    assert [one.passed for one in verdicts(clear)] == [True, False, True]


def test_the_more_turns_the_better_a_visit_is_known() -> None:
    (one,) = file_of((24, 2, 42, 23)).visits
    page, command = math.log(1.01) / math.sqrt(3), math.log(1.02) * math.sqrt(2 / 3) / math.sqrt(4)
    assert one.relative_error([2]) == pytest.approx(math.hypot(page, command))
    assert one.relative_error([1, 2]) == pytest.approx(math.hypot(page, command / 2))
    assert structs.replace(one, page_rounds_ms=(24.0,)).relative_error([2]) == math.inf


def test_the_file_survives_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "visits.json"
    file = file_of((24, 2, 42, 23))
    path.write_text(json.dumps(file.to_json()))
    assert read_visits(path) == file
    assert "1.04 ± 0.01" in visits_table(file)
    section = visits_section({"idle": file, "busy": None})
    assert "With the machine idle: " in section and "With the machine busy: not measured" in section
    path.write_text('{"mine": 1}')
    with pytest.raises(RequestError, match="not a file of visits"):
        read_visits(path)
