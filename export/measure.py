"""Measure the built page in a real browser: latency, size and accuracy of every variant on every back end.

Examples:
  python -m export.measure                                        # everything the page offers, 1,000 images
  python -m export.measure --variant u8-tfjs,f32-tfjs --backend wasm --rounds 5
  python -m export.measure --model deit_t --data imagenet_val/    # accuracy on your own labelled images
  python -m export.measure --threads 1,2 --limit 0                # with the headers for threads; latency alone
  python -m export.measure --software-gpu --accuracy-backend webgl,webgpu --rounds 0   # are GPU answers right?
  python -m export.measure --benchmark --model deit_t --weights random   # every engine against every other one

Every round opens a fresh browser for each combination, and the rounds interleave them, so that slow drifts of the
machine touch all alike: compare figures of one run with each other. Download times are those of localhost.

--benchmark builds what it compares itself: our engine, LiteRT.js, ONNX Runtime Web and TF.js, with the conversions made
for them and the stock ones, 1 and 2 threads, and on the GPU where there is one, all on one page in turns; and first
visits on a slow line and processor.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from export.core.console import run, say
from export.core.errors import MeasurementError, RequestError
from export.core.files import write_atomically
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.core.records import Measurement
from export.measuring.browser.chromium import chromium
from export.measuring.browser.page_client import read_site_data
from export.measuring.browser.server import serving
from export.measuring.latency import measure_latency
from export.measuring.selection import Plan, Selection, make_plan
from export.models.request import ModelRequest
from export.page.bundle import make_bundle
from export.page.render import render
from export.page.reports.measurements import merge, table, write
from export.page.results_view import read_measurements

CHECKS = ARTIFACTS / "measurements-software-gpu.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """What to measure and how often; `limit` images for accuracy (0: none), `rounds` for latency (0: none)."""

    selection: Selection
    site: Path = SITE_OUT
    artifacts: Path = ARTIFACTS
    data: Path | None = None
    limit: int = 1000
    rounds: int = 3
    runs: int = 30
    software_gpu: bool = False


def measure(request: MeasureRequest) -> tuple[Plan, list[Measurement]]:
    """Open the page in Chromium and return what was measured, and where.

    Raises `RequestError` when page or machine have not what is asked for, `MeasurementError` when the page fails.
    """
    site_data = read_site_data(request.site)
    isolated = max(request.selection.threads) > 1
    with serving(request.site, isolated=isolated) as url, chromium(software_gpu=request.software_gpu) as browser:
        plan = make_plan(browser, url, site_data, request.selection)
        say(f"{plan.environment.browser} on {plan.environment.cpu}, {plan.environment.logical_cores} logical cores")
        for line in plan.left_out:
            say(f"  not measured: {line}")
        measured = _accuracy(browser, plan, request) if request.limit else []
        measured += measure_latency(browser, plan, rounds=request.rounds, runs=request.runs)
    if not measured:
        raise MeasurementError("nothing that was asked for could be measured", hint="the lines above say why")
    return plan, measured


def _accuracy(browser: Browser, plan: Plan, request: MeasureRequest) -> list[Measurement]:
    from export.measuring.accuracy import measure_accuracy  # brings PyTorch

    return measure_accuracy(browser, plan, artifacts=request.artifacts, data=request.data, limit=request.limit)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--site", type=Path, default=SITE_OUT, help="the built page (default: %(default)s)")
    p.add_argument("--model", type=_names, default=(), metavar="NAME,…", help="of the page's (default: all)")
    p.add_argument("--variant", type=_names, default=(), metavar="ID,…", help="such as u8-tfjs (default: all)")
    p.add_argument("--engine", type=_names, default=(), metavar="NAME,…", help="such as tfjs (default: all)")
    p.add_argument("--backend", type=_names, default=(), metavar="NAME,…", help="such as wasm (default: all available)")
    p.add_argument("--threads", type=_counts, default=(1,), metavar="N,…", help="of the wasm back end (default: 1)")
    _add_accuracy_options(p.add_argument_group("accuracy"))
    _add_latency_options(p.add_argument_group("latency"))
    _add_benchmark_options(p.add_argument_group("benchmark"))
    p.add_argument("--out", type=Path, metavar="FILE", help=f"the figures (default: {MEASUREMENTS})")
    p.add_argument(
        "--render", action=argparse.BooleanOptionalAction, default=None, help="put them on the page (default: yes)"
    )
    return p


def _add_accuracy_options(group: Any) -> None:
    group.add_argument("--limit", type=int, default=1000, help="images; 0: no accuracy (default: %(default)s)")
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled images, a folder a class, or an archive (default: the model's own)",
    )
    group.add_argument(
        "--accuracy-backend",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="where to check it (default: the first available back end, as a rule wasm)",
    )
    group.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="the float model's place (default: %(default)s)"
    )
    group.add_argument(
        "--software-gpu",
        action="store_true",
        help=f"let the CPU stand in for a GPU, to check answers; not timed, kept apart in {CHECKS}",
    )


def _add_latency_options(group: Any) -> None:
    group.add_argument("--rounds", type=int, default=3, help="fresh browsers; 0: no latency (default: %(default)s)")
    group.add_argument(
        "--runs", type=int, default=30, help="warm runs a round, fewer of slow ones (default: %(default)s)"
    )


def _add_benchmark_options(group: Any) -> None:
    group.add_argument("--benchmark", action="store_true", help=f"compare all engines; figures go to {BENCHMARK}")
    group.add_argument("--weights", choices=("pretrained", "random"), help="of the models compared")
    group.add_argument(
        "--calibration", type=int, metavar="N", help="calibration images (default: as many as the recipes say)"
    )
    group.add_argument(
        "--starts",
        type=int,
        default=3,
        help="first visits of each contender; 0: none, and GPU programs are not counted (default: %(default)s)",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _counts(text: str) -> tuple[int, ...]:
    counts = text.split(",")
    if not all(count.isdecimal() and int(count) > 0 for count in counts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers from 1, such as 1,2")
    return tuple(dict.fromkeys(map(int, counts)))


def read_request(args: argparse.Namespace) -> MeasureRequest:
    """Turn the command line into a request; raises `RequestError` for what cannot be met."""
    for name in ("weights", "calibration"):
        if getattr(args, name) is not None:
            raise RequestError(f"--{name} has a meaning only with --benchmark: the page's models are built already")
    for name in ("rounds", "limit"):
        if getattr(args, name) < 0:
            raise RequestError(f"--{name} {getattr(args, name)} is below 0")
    if args.runs < 1:
        raise RequestError(f"--runs {args.runs} is below 1")
    if args.rounds == 0 and args.limit == 0:
        raise RequestError("--rounds 0 --limit 0 leaves nothing to measure")
    selection = Selection(
        models=args.model,
        variants=args.variant,
        engines=args.engine,
        backends=args.backend,
        threads=args.threads,
        accuracy_backends=args.accuracy_backend,
    )
    return MeasureRequest(
        selection=selection,
        site=args.site,
        artifacts=args.artifacts,
        data=args.data,
        limit=args.limit,
        rounds=args.rounds,
        runs=args.runs,
        software_gpu=args.software_gpu,
    )


def _render_again(request: MeasureRequest, measurements: Path) -> None:
    models = read_site_data(request.site)["models"]
    recipes = dict.fromkeys(variant["recipe"] for model in models for variant in model["variants"])
    render(
        artifacts=request.artifacts,
        models=[model["name"] for model in models],
        recipes=list(recipes),
        bundle=make_bundle(),
        measurements=measurements,
        out=request.site,
        benchmark=BENCHMARK if BENCHMARK.exists() else None,
        variants={variant["id"] for model in models for variant in model["variants"]},
    )


def _benchmark(args: argparse.Namespace) -> None:
    from export.measuring.benchmark.run import ContestRequest, contest
    from export.page.reports.benchmark import joined
    from export.page.reports.benchmark_tables import markdown
    from export.page.reports.benchmark_view import read_benchmark

    if args.rounds < 1 or args.runs < 1 or args.starts < 0:
        raise RequestError("--benchmark needs --rounds and --runs of at least 1, --starts of at least 0")
    if args.calibration is not None and args.calibration < 1:
        raise RequestError(f"--calibration {args.calibration} is below 1")
    for name in ("variant", "engine", "backend", "accuracy_backend", "data", "software_gpu"):
        if getattr(args, name):
            raise RequestError(f"--{name.replace('_', '-')} has no meaning with --benchmark, which compares everything")
    out = args.out or BENCHMARK
    old = read_benchmark(out if out.exists() else None)  # refused before the long work when it is something else
    for name in args.model or ("fashion",):
        measured = contest(
            ContestRequest(
                model=ModelRequest(model=name, weights=args.weights),
                folder=args.artifacts / "benchmark",
                rounds=args.rounds,
                runs=args.runs,
                starts=args.starts,
                calibration=args.calibration,
            )
        )
        found = measured if old is None else joined(old, measured)
        if found is None:
            say(f"note: the older figures in {out} are dropped: they were measured elsewhere")
            found = measured
        write_atomically(out, (json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
        say(f"\n{len(measured.rows)} contenders with {name} → {out}")
        old = found
    assert old is not None
    say(f"\n{markdown(old)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the figures, show them, and put them on the page."""
    args = parser().parse_args(argv)
    if args.benchmark:
        return _benchmark(args)
    request = read_request(args)
    out = args.out or (CHECKS if request.software_gpu else MEASUREMENTS)
    if out.exists():
        read_measurements(out)  # refused before the long work when it is something else
    plan, measured = measure(request)
    file, note = merge(out, plan.environment, measured)
    write(out, file)
    for line in ["", *table(measured), "", *([note] if note else [])]:
        say(line)
    say(f"{len(measured)} figures → {out}")
    if args.render or (args.render is None and not request.software_gpu):
        _render_again(request, out)
        say(f"the page shows them: {request.site}/results.html")


if __name__ == "__main__":
    run(main)
