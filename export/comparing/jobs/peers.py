"""Runtimes on one machine in one run: native ones before and after the browser, one picture at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.comparing.jobs.timing import time_in_rounds
from export.conversion.onnx.export import INPUT, MODEL, OUTPUT
from export.core.errors import MeasurementError
from export.core.figures.fidelity import capped_sqnr_db
from export.core.figures.stats import summarise
from export.core.records import Measurement
from export.data.calibration import calibration_images
from export.measuring.selection import Selection
from export.measuring.session import MeasureRequest, measure
from export.models.choice.request import ModelRequest
from export.models.weights.float_artifact import read_golden, read_model, run_model
from export.page.reports.comparison.records import Peer, Spread, to_spread
from export.page.reports.measured.measurements import SIZE
from export.page.results_view import LATENCY
from export.page.site import BuildRequest, build_site
from export.pipeline.build import quantize
from export.pipeline.store import Store
from export.quantization.evaluation.baselines import BASELINES
from export.quantization.recipes import RECIPES, find_recipe

NATIVE, BROWSER = "native", "browser"
ONNX = "ONNX Runtime"
CALIBRATION, SECONDS = 32, 1.0
Images = NDArray[np.float32]


@dataclass(frozen=True)
class _Native:
    """A native runtime: what it is called, its file's size, and what opens it for a number of threads."""

    title: str
    int8: bool
    bytes: int | None
    open: Callable[[int], Callable[[Images], Images]]


def run(options: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """Time every runtime with one thread and with all cores; half of the native rounds before the browser's."""
    folder = Path(places["work"])
    folder.mkdir(parents=True, exist_ok=True)
    request = msgspec.convert(places["request"], ModelRequest, dec_hook=lambda kind, value: kind(value))
    natives = list(_natives(request, places, folder))
    site = _build(request, options, places, folder)
    image = read_golden(Path(places["artifact"]))[0][:1]
    times: dict[tuple[str, int], list[float]] = {}
    half = max(1, options["rounds"] // 2)
    _time(natives, image, options["threads"], half, times)
    browser = _measure_browser(request, options, places, site)
    _time(natives, image, options["threads"], half, times)
    return {"peers": [peer.to_json() for peer in _rows(natives, times, browser, places)]}


def _natives(request: ModelRequest, places: dict[str, Any], folder: Path) -> Iterator[_Native]:
    spec, module = read_model(Path(places["artifact"]))
    yield _Native(
        "PyTorch, float32", False, (Path(places["artifact"]) / "weights.safetensors").stat().st_size, _torch(module)
    )
    for name, make in list(BASELINES.items())[:2]:
        baseline = make(module)
        yield _Native(f"PyTorch, int8 by {name}", True, baseline.bytes, _torch(baseline.module))
    store = Store(Path(places["artifacts"]))
    artifact = quantize(request, RECIPES["f32"], ("onnx",), store, force=False)["onnx"]
    source = store.folder(request.name, artifact.recipe, artifact.format) / MODEL
    yield _onnx(f"{ONNX}, float32", source, int8=False)
    data = Path(places["calibration"]) if places["calibration"] else None
    images = calibration_images(spec, data, CALIBRATION, 0).images
    yield _onnx(f"{ONNX}, int8, dynamic", _quantize_dynamic(source, folder), int8=True)
    yield _onnx(f"{ONNX}, int8, static", _quantize_static(source, images, folder), int8=True)


def _torch(module: nn.Module) -> Callable[[int], Callable[[Images], Images]]:
    def opened(threads: int) -> Callable[[Images], Images]:
        torch.set_num_threads(threads)
        return lambda images: run_model(module, images)

    return opened


def _onnx(title: str, path: Path, *, int8: bool) -> _Native:
    import onnxruntime

    def opened(threads: int) -> Callable[[Images], Images]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda images: np.concatenate([session.run([OUTPUT], {INPUT: one[None]})[0] for one in images])

    return _Native(title, int8, path.stat().st_size, opened)


def _quantize_dynamic(source: Path, folder: Path) -> Path:
    """Return the model that ONNX Runtime quantizes at run time: int8 weights, activations by their range."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = folder / "dynamic.onnx"
    with _quiet():
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
    return target


def _quantize_static(source: Path, images: Images, folder: Path) -> Path:
    """Return the model that ONNX Runtime quantizes with calibrated scales, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inputs = iter(images)

        def get_next(self) -> dict[str, Images] | None:
            image = next(self.inputs, None)
            return None if image is None else {INPUT: image[None]}

    prepared, target = folder / "prepared.onnx", folder / "static.onnx"
    with _quiet():
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return target


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice to itself, which it gives through the root logger."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _build(request: ModelRequest, options: dict[str, Any], places: dict[str, Any], folder: Path) -> Path:
    built = BuildRequest(
        models=(request,),
        recipes=tuple(find_recipe(name) for name in options["recipes"]),
        engines=(options["engine"],),
        data=Path(places["calibration"]) if places["calibration"] else None,
        artifacts=Path(places["artifacts"]),
        measurements=folder / "none.json",
        benchmark=folder / "none.json",
        out=folder / "_site",
    )
    build_site(built)
    return built.out


def _time(
    natives: list[_Native], image: Images, threads: list[int], rounds: int, times: dict[tuple[str, int], list[float]]
) -> None:
    for count in threads:
        opened = {native.title: native.open(count) for native in natives}
        runs = {title: partial(run, image) for title, run in opened.items()}
        for title, found in time_in_rounds(runs, rounds, SECONDS).items():
            times.setdefault((title, count), []).extend(1000 * one for one in found)
    torch.set_num_threads(max(threads))


def _measure_browser(
    request: ModelRequest, options: dict[str, Any], places: dict[str, Any], site: Path
) -> list[Measurement]:
    selection = Selection(models=(request.name,), backends=("wasm",), threads=tuple(options["threads"]))
    wanted = MeasureRequest(
        selection=selection, site=site, artifacts=Path(places["artifacts"]), limit=0, rounds=options["rounds"]
    )
    return measure(wanted)[1]


def _rows(
    natives: list[_Native],
    times: dict[tuple[str, int], list[float]],
    browser: list[Measurement],
    places: dict[str, Any],
) -> list[Peer]:
    inputs, expected = read_golden(Path(places["artifact"]))
    fidelity = {native.title: capped_sqnr_db(expected, native.open(1)(inputs)) for native in natives}
    by_title = {native.title: native for native in natives}
    medians = {key: summarise(found) for key, found in times.items()}
    fastest = {
        threads: min(
            found.value for (title, count), found in medians.items() if count == threads and by_title[title].int8
        )
        for threads in {count for _, count in medians}
    }
    rows = [
        Peer(
            runtime=title,
            where=NATIVE,
            threads=threads,
            latency_ms=to_spread(found),
            ratio=found.value / fastest[threads],
            bytes=by_title[title].bytes,
            sqnr_db=fidelity[title],
        )
        for (title, threads), found in medians.items()
    ]
    return rows + [_browser_row(figure, browser, fastest) for figure in browser if figure.metric == LATENCY]


def _browser_row(figure: Measurement, all_of_them: list[Measurement], fastest: dict[int, float]) -> Peer:
    if figure.p10 is None or figure.p90 is None or figure.threads not in fastest:
        raise MeasurementError(f"{figure.variant} was measured with {figure.threads} threads, which no native one was")
    sizes = [one.value for one in all_of_them if (one.metric, one.variant) == (SIZE, figure.variant)]
    return Peer(
        runtime=f"`{figure.engine}`, {figure.variant}",
        where=BROWSER,
        threads=figure.threads,
        latency_ms=Spread(value=figure.value, n=figure.n, low=figure.p10, high=figure.p90),
        ratio=figure.value / fastest[figure.threads],
        bytes=int(sizes[0]) if sizes else None,
    )
