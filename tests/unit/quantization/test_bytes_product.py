"""Products of integers in int8: as exact as in int64, whatever range the integers have."""

import pytest
import torch

from export.quantization.layers import bytes_product


def integers(low: int, high: int, *shape: int) -> torch.Tensor:
    values = torch.randint(low, high + 1, shape).float()
    values.flatten()[0], values.flatten()[-1] = low, high
    return values


RANGES = {
    "int8": integers(-128, 127, 3, 5, 40),
    "uint8": integers(0, 255, 3, 5, 40),
    "a zero point": integers(-20, 235, 15, 40),
    "a zero point per row": torch.cat([integers(-255, 0, 1, 40), integers(0, 255, 1, 40), integers(-3, 4, 1, 40)]),
    "more than a byte": integers(-255, 255, 1, 40),
}


@pytest.mark.parametrize("weight", [integers(-128, 127, 7, 40), integers(-7, 7, 7, 40), integers(-30, 225, 7, 40)])
@pytest.mark.parametrize("x", RANGES.values(), ids=RANGES)
def test_it_is_exact(x: torch.Tensor, weight: torch.Tensor) -> None:
    exact = torch.einsum("...i,oi->...o", x.double(), weight.double())
    with torch.inference_mode():
        assert torch.equal(bytes_product.linear(x, weight).double(), exact)


def test_deep_sums_of_the_largest_products_are_exact_where_float32_rounds() -> None:
    if not bytes_product.multiplies_bytes():
        pytest.skip("this CPU has no VNNI")
    x, weight = torch.full((2, 4099), -128.0), torch.full((1, 4099), -128.0)
    weight[0, 0] = -127
    with torch.inference_mode():
        assert bytes_product.linear(x, weight).tolist() == [[4098 * 128 * 128 + 127 * 128]] * 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(value: float) -> None:
    x, weight = integers(0, 255, 3, 40), integers(-128, 127, 7, 40)
    x[1, 5] = value
    with torch.inference_mode():
        found = bytes_product.linear(x, weight)
    assert found.isfinite().all(1).tolist() == [True, False, True]


def test_gradients_flow_outside_of_inference() -> None:
    x = integers(-128, 127, 3, 40).requires_grad_()
    bytes_product.linear(x, integers(-7, 7, 7, 40)).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
