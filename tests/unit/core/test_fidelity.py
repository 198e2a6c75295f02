"""How outputs are compared: a single one decides by its sign."""

import numpy as np

from export.core.fidelity import compare, decisions


def test_a_single_output_decides_by_its_sign() -> None:
    parent, child = np.float32([[-1], [2], [3]]), np.float32([[-2], [-1], [4]])
    assert decisions(parent).tolist() == [0, 1, 1] and decisions(child).tolist() == [0, 0, 1]
    assert compare(parent, child, edge="int8", parent="torch", subject="m").top1_agreement == 2 / 3


def test_several_outputs_decide_by_the_largest() -> None:
    assert decisions(np.float32([[1, 2, 0], [-1, -2, -3]])).tolist() == [1, 0]
