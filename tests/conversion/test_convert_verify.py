"""The verification itself: what passes, what is refused, and what it says."""

import numpy as np
import pytest

from export.core.errors import VerificationError
from export.core.figures.fidelity import accept, capped_sqnr_db, compare, sqnr_db
from export.core.records import Verification
from export.pipeline.formats import FORMATS

PARENT = np.random.default_rng(0).standard_normal((8, 10)).astype(np.float32)


def noisy(decibel: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(PARENT.shape)
    noise *= np.sqrt(np.square(PARENT).sum() / np.square(noise).sum() / 10 ** (decibel / 10))
    return (PARENT + noise).astype(np.float32)


def test_figures_are_those_of_the_definition() -> None:
    found = compare(PARENT, noisy(30.0), edge="u8", parent="tf", subject="x")
    assert found.sqnr_db == pytest.approx(30.0, abs=0.01)
    assert found.max_abs_diff == pytest.approx(np.abs(noisy(30.0) - PARENT).max(), rel=1e-6)
    assert (found.n, found.parent, found.edge) == (8, "tf", "u8")
    assert 0.5 < found.top1_agreement <= 1.0


def test_outputs_that_are_no_numbers_have_no_sqnr() -> None:
    broken = PARENT.copy()
    broken[0, 0] = np.nan
    for measure in (sqnr_db, capped_sqnr_db):
        with pytest.raises(VerificationError, match="NaN or infinite"):
            measure(PARENT, broken)


def test_equal_bit_for_bit_is_none() -> None:
    assert sqnr_db(PARENT, PARENT.copy()) is None
    assert compare(PARENT, PARENT.copy(), edge="onnx", parent="torch", subject="x").sqnr_db is None


def held_to(bound: float, decibel: float, edge: str = "u8") -> Verification:
    return accept(compare(PARENT, noisy(decibel), edge=edge, parent="tf", subject="fashion: TF.js"), bound)


EDGES = sorted({(edge, bound) for format in FORMATS.values() for edge, bound in format.bounds_db.items()})


@pytest.mark.parametrize(("edge", "bound"), EDGES)
def test_each_edge_has_its_own_bound(edge: str, bound: float) -> None:
    found = held_to(bound, bound + 1, edge)
    assert (found.edge, found.bound_sqnr_db) == (edge, bound)
    with pytest.raises(VerificationError) as refused:
        held_to(bound, bound - 0.95, edge)  # written rounded down, so as never to look like the bound
    for word in ("fashion: TF.js", "(tf)", f"{bound - 1:.1f} dB", f"{bound:.0f} dB", "8 golden inputs", "agreement"):
        assert word in str(refused.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("whose", ["parent", "child"])
def test_what_is_not_finite_is_refused(value: float, whose: str) -> None:
    broken = PARENT.copy()
    broken[3, 4] = value
    outputs = (broken, PARENT) if whose == "parent" else (PARENT, broken)
    with pytest.raises(VerificationError, match=f"1 of 80 of the {whose}'s outputs are NaN or infinite"):
        compare(*outputs, edge="u8", parent="tf", subject="x")


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(VerificationError, match=r"\(8, 9\).*\(8, 10\)"):
        compare(PARENT, PARENT[:, :9], edge="u8", parent="tf", subject="x")


def test_a_silent_parent_proves_nothing() -> None:
    with pytest.raises(VerificationError, match="-inf dB"):
        accept(compare(np.zeros_like(PARENT), PARENT, edge="u8", parent="tf", subject="x"), -1000.0)
