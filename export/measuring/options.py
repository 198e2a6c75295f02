"""The command-line options of measuring: declared for argparse, and read into requests."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.core.errors import RequestError
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.measuring.browser.browsers import BROWSERS
from export.measuring.selection import Selection
from export.measuring.session import MeasureRequest
from export.models.choice.request import ModelRequest

if TYPE_CHECKING:
    from export.measuring.benchmark.run import BenchmarkRequest

SOFTWARE_GPU = ARTIFACTS / "measurements-software-gpu.json"
OTHER_BUILD = "measurements-{}.json"  # in the artifacts' folder
BUILDS = ("relaxed", "pairs", "plain")  # of the vit engine
# Options that only the measuring of a built page has, and those that only the benchmark has, which compares everything.
ONLY_PAGE = (
    "variant",
    "engine",
    "backend",
    "accuracy_backend",
    "data",
    "software_gpu",
    "keep_accuracy",
    "build",
    "browser",
    "visits",
)
ONLY_BENCHMARK = ("weights", "calibration")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare all options that are read here, `--out` and `--render`."""
    parser.add_argument("--site", type=Path, default=SITE_OUT, help="the built page (default: %(default)s)")
    for option, metavar, text in (
        ("--model", "NAME,…", "models of the page (default: all)"),
        ("--variant", "ID,…", "variants, such as u8-tfjs (default: all)"),
        ("--engine", "NAME,…", "engines, such as tfjs (default: all)"),
        ("--backend", "NAME,…", "backends, such as wasm (default: all available)"),
    ):
        parser.add_argument(option, type=_names, default=(), metavar=metavar, help=text)
    parser.add_argument(
        "--threads", type=_counts, default=(1,), metavar="N,…", help="threads of the wasm backend (default: 1)"
    )
    parser.add_argument(
        "--browser",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="browsers: chromium, firefox, webkit; accuracy is measured in the first (default: chromium)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"file for the figures (default: {MEASUREMENTS})")
    parser.add_argument(
        "--render",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="add the figures to the page (default: yes)",
    )
    _add_accuracy_options(parser.add_argument_group("accuracy"))
    _add_latency_options(parser.add_argument_group("latency"))
    _add_benchmark_options(parser.add_argument_group("benchmark"))
    _add_build_options(parser.add_argument_group("builds"))


def _add_accuracy_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--limit", type=int, default=1000, help="number of images; 0 skips accuracy (default: %(default)s)"
    )
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled images: a folder with one folder per class, or an archive of it (default: the model's own)",
    )
    group.add_argument(
        "--keep-accuracy",
        action="store_true",
        help="keep the accuracies of an embedded model beside its weights, for pages built where its images are not",
    )
    group.add_argument(
        "--accuracy-backend",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="backends to measure accuracy on (default: the first available one, usually wasm)",
    )
    group.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="folder with the float model (default: %(default)s)"
    )
    group.add_argument(
        "--software-gpu",
        action="store_true",
        help=f"measure accuracy on a software GPU, which is not timed; figures go to {SOFTWARE_GPU}",
    )


def _add_latency_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rounds", type=int, default=3, help="rounds, each in a fresh browser; 0 skips latency (default: %(default)s)"
    )
    group.add_argument(
        "--runs", type=int, default=30, help="warm runs per round, fewer on slow backends (default: %(default)s)"
    )
    group.add_argument(
        "--visits",
        type=int,
        metavar="N",
        help="instead, visit the page N times, measure there as a person does, and compare with this command's figures",
    )
    group.add_argument(
        "--build",
        choices=BUILDS,
        help="a build of the vit engine instead of the browser's fastest; figures go to a file of their own",
    )


def _add_benchmark_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--benchmark", action="store_true", help=f"compare all engines; figures go to {BENCHMARK}")
    group.add_argument("--weights", choices=("pretrained", "random"), help="weights of the models compared")
    group.add_argument(
        "--calibration", type=int, metavar="N", help="number of calibration images (default: the recipes' own)"
    )
    group.add_argument(
        "--starts",
        type=int,
        default=3,
        help="first visits per target; 0 skips first visits and GPU dispatches (default: %(default)s)",
    )


def _add_build_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--builds", action="store_true", help="measure how long builds take, each from an empty folder, for 15 minutes"
    )
    group.add_argument("--case", type=_names, default=(), metavar="NAME,…", help="only these of them (default: all)")


def read_cases(args: argparse.Namespace) -> tuple[str, ...]:
    """Return which builds to measure; raises `RequestError` for options that have no meaning there."""
    for name in (*ONLY_PAGE, *ONLY_BENCHMARK, "benchmark", "model", "backend"):
        if getattr(args, name):
            raise RequestError(f"--{name.replace('_', '-')} does not apply to --builds", hint="choose with --case")
    cases: tuple[str, ...] = args.case
    return cases


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _counts(text: str) -> tuple[int, ...]:
    counts = text.split(",")
    if not all(count.isdecimal() and int(count) > 0 for count in counts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of positive whole numbers, such as 1,2")
    return tuple(dict.fromkeys(map(int, counts)))


def read_request(args: argparse.Namespace) -> MeasureRequest:
    """Return what to measure on a built page; raises `RequestError` for invalid options."""
    if args.case:
        raise RequestError("--case applies only to --builds", hint="choose with --model, --variant and --engine")
    for name in ONLY_BENCHMARK:
        if getattr(args, name) is not None:
            raise RequestError(
                f"--{name} applies only to --benchmark: the page's models are already built", hint="leave it out"
            )
    if args.keep_accuracy and (args.data is None or args.limit == 0):
        raise RequestError("--keep-accuracy: no accuracy is measured on images of your own", hint="pass --data DIR")
    _check_browsers(args)
    selection = Selection(
        models=args.model,
        variants=args.variant,
        engines=("vit",) if args.build else args.engine,
        backends=args.backend,
        threads=args.threads,
        accuracy_backends=args.accuracy_backend,
        build=args.build or "",
    )
    return MeasureRequest(
        selection=selection,
        browsers=args.browser or ("chromium",),
        site=args.site,
        artifacts=args.artifacts,
        data=args.data,
        limit=args.limit,
        rounds=args.rounds,
        runs=args.runs,
        software_gpu=args.software_gpu,
    )


def _check_browsers(args: argparse.Namespace) -> None:
    unknown = [name for name in args.browser if name not in BROWSERS]
    if unknown:
        raise RequestError(f"--browser: unknown {', '.join(unknown)}", hint=f"browsers: {', '.join(BROWSERS)}")
    if args.software_gpu and args.browser not in ((), ("chromium",)):
        raise RequestError("--software-gpu is Chromium's", hint="leave --browser out")
    if args.build and args.engine not in ((), ("vit",)):
        raise RequestError("--build is of the vit engine", hint="leave --engine out")


def read_visits_request(args: argparse.Namespace) -> MeasureRequest:
    """Return what to visit; raises `RequestError` for options that have no meaning there."""
    if args.visits < 1:
        raise RequestError(f"--visits {args.visits} is below 1", hint="for instance --visits 5")
    for name in ("backend", "accuracy_backend", "data", "software_gpu", "keep_accuracy", "build", "render"):
        if getattr(args, name):
            raise RequestError(f"--{name.replace('_', '-')} does not apply to --visits", hint="leave it out")
    return read_request(args)


def default_file(request: MeasureRequest) -> Path:
    """Return where figures go that no other file is named for: those of special cases are not for the page."""
    if request.software_gpu:
        return SOFTWARE_GPU
    build = request.selection.build
    return ARTIFACTS / OTHER_BUILD.format(build) if build else MEASUREMENTS


def read_benchmark_request(args: argparse.Namespace) -> "BenchmarkRequest":
    """Return what the benchmark compares; raises `RequestError` for invalid options."""
    from export.measuring.benchmark.run import BenchmarkRequest  # brings PyTorch

    for name in ONLY_PAGE:
        if getattr(args, name):
            raise RequestError(
                f"--{name.replace('_', '-')} does not apply to --benchmark, which compares everything",
                hint="leave it out",
            )
    return BenchmarkRequest(
        models=tuple(ModelRequest(model=name, weights=args.weights) for name in args.model or ("fashion",)),
        folder=args.artifacts / "benchmark",
        out=args.out or BENCHMARK,
        rounds=args.rounds,
        runs=args.runs,
        visits=args.starts,
        calibration=args.calibration,
    )
