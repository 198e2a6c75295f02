"""How outputs are compared: a single one decides by its sign."""

import numpy as np
import pytest

from export.core.errors import VerificationError
from export.core.figures.fidelity import Comparison, accept, compare, decisions
from export.core.figures.units import format_unequal_bytes


def test_a_single_output_decides_by_its_sign() -> None:
    parent, child = np.float32([[-1], [2], [3]]), np.float32([[-2], [-1], [4]])
    assert decisions(parent).tolist() == [0, 1, 1] and decisions(child).tolist() == [0, 0, 1]
    assert compare(parent, child, edge="int8", parent="torch", subject="m").top1_agreement == 2 / 3


def test_several_outputs_decide_by_the_largest() -> None:
    assert decisions(np.float32([[1, 2, 0], [-1, -2, -3]])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("found", "bound", "words"), [(9.96, 10, "9.9 dB, the bound is 10 dB"), (10.45, 10.5, "10.4 dB.*10.5 dB")]
)
def test_what_misses_a_bound_is_not_rounded_up_to_it(found: float, bound: float, words: str) -> None:
    compared = Comparison(
        edge="int8", parent="torch", subject="m", n=8, max_abs_diff=0.1, sqnr_db=found, top1_agreement=1.0
    )
    with pytest.raises(VerificationError, match=words):
        accept(compared, bound)


def test_sizes_that_differ_are_written_so() -> None:
    assert format_unequal_bytes(2_000_000, 1_000_000) == ("2.00\u00a0MB", "1.00\u00a0MB")
    assert format_unequal_bytes(1_000_000_001, 1_000_000_000) == ("1,000,000,001\u00a0B", "1,000,000,000\u00a0B")
