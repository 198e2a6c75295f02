"""Stages beside others: made in their order, stopped when they should be, and never silent about what went wrong."""

import threading
from functools import partial

import pytest

from export.core.errors import ConversionError, UnsupportedError
from export.pipeline.beside import Beside


def fail(error: Exception) -> None:
    raise error


def test_all_is_made_in_order_in_another_thread() -> None:
    made: list[tuple[int, str]] = []

    def make(index: int) -> None:
        made.append((index, threading.current_thread().name))

    beside = Beside([partial(make, index) for index in range(3)])
    beside.wait()
    assert made == [(index, "converter stages") for index in range(3)]
    assert not beside.is_current() and not beside.is_running()


def test_what_went_wrong_is_raised_as_it_was() -> None:
    error, made = ConversionError("onnx2tf failed", hint="full log: convert.log"), list[int]()
    beside = Beside([lambda: fail(error), lambda: made.append(1)])
    with pytest.raises(ConversionError, match="onnx2tf failed") as raised:
        beside.wait()
    assert raised.value is error and not made
    with pytest.raises(ConversionError):
        beside.check()


def test_what_an_engine_does_not_support_is_left_to_whoever_asks_again() -> None:
    made: list[int] = []
    beside = Beside([lambda: fail(UnsupportedError("the engine has no such layer")), lambda: made.append(1)])
    beside.wait()
    assert made == [1]


def test_nothing_is_begun_once_it_is_stopped_and_what_that_broke_is_not_reported() -> None:
    begun, release, made = threading.Event(), threading.Event(), list[int]()

    def first() -> None:
        begun.set()
        release.wait()
        raise ConversionError("the converter process ended")

    beside = Beside([first, lambda: made.append(2)])
    begun.wait()
    beside.stop()
    release.set()
    beside.join()
    beside.check()
    assert not made
