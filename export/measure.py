"""Measure the built page in a real browser: latency, size and accuracy of every variant on every backend.

Examples:
  python -m export.measure                                        # everything the page offers, 1,000 images
  python -m export.measure --variant u8-tfjs,f32-tfjs --backend wasm --rounds 5
  python -m export.measure --model deit_t --data imagenet_val/    # accuracy on your own labelled images
  python -m export.measure --threads 1,2 --limit 0                # cross-origin isolated; latency only
  python -m export.measure --browser chromium,firefox,webkit --limit 0   # latency in three browser engines, in turn
  python -m export.measure --software-gpu --accuracy-backend webgl,webgpu --rounds 0   # accuracy of the GPU backends
  python -m export.measure --visits 5                             # does the page measure what this command does?
  python -m export.measure --benchmark --model deit_t --weights random   # compare all engines
  python -m export.measure --builds                               # how long builds take, from nothing to a page

Every round opens a fresh browser for each combination, and rounds are interleaved, so that slow drifts of the machine
affect all combinations equally: compare only figures of the same session. Download times are those of localhost.

--benchmark builds what it compares: the vit engine, LiteRT.js, ONNX Runtime Web, TF.js and transformers.js, with graphs
rewritten for each runtime and with stock conversions, with 1 and 2 threads and on the GPU where there is one, in
interleaved rounds on one page; and first visits with throttled network and CPU.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from export.core.console import run, say
from export.core.files import write_atomically
from export.core.paths import ARTIFACTS, MEASUREMENTS
from export.page.reports.benchmark.tables import benchmark_section
from export.page.reports.measured.measurements import merge, table, write
from export.page.results_view import read_measurements

BUILDS, VISITS = ARTIFACTS / "builds.json", ARTIFACTS / "visits.json"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    from export.measuring.options import add_options  # brings Playwright

    add_options(p)
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the figures, show them, and put them on the page."""
    args = parser().parse_args(argv)
    if args.builds:
        measure_build_times(args)
    elif args.benchmark:
        compare_engines(args)
    elif args.visits is not None:
        compare_visits(args)
    else:
        measure_page(args, argv)


def measure_build_times(args: argparse.Namespace) -> None:
    """Measure how long builds take, and print what that is held to."""
    from export.measuring.builds import measure_builds
    from export.measuring.options import read_cases
    from export.page.reports.measured.builds import verdicts

    path = args.out or BUILDS
    times = measure_builds(read_cases(args), path)
    for verdict in verdicts(times):
        say(verdict.line())
    say(f"{len(times.rows)} cases → {path}")


def compare_engines(args: argparse.Namespace) -> None:
    """Run the benchmark and print its tables."""
    from export.measuring.benchmark.run import run_benchmark  # brings PyTorch
    from export.measuring.options import read_benchmark_request

    say(f"\n{benchmark_section(run_benchmark(read_benchmark_request(args)))}")


def compare_visits(args: argparse.Namespace) -> None:
    """Visit the page, write what it and this command measure, and print what that is held to."""
    from export.measuring.options import read_visits_request
    from export.measuring.visits import measure_visits
    from export.page.reports.measured.visits import verdicts, visits_table

    path = args.out or VISITS
    file = measure_visits(read_visits_request(args), args.visits)
    write_atomically(path, (json.dumps(file.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    say(f"\n{visits_table(file)}\n")
    for verdict in verdicts(file):
        say(verdict.line())
    say(f"{len(file.visits)} visits → {path}")


def measure_page(args: argparse.Namespace, argv: Sequence[str] | None = None) -> None:
    """Measure the built page, print the figures, and render it again with them."""
    from export.measuring.options import default_file, read_request
    from export.measuring.session import keep_accuracies, measure, render_again

    request = read_request(args)
    out = args.out or default_file(request)
    if out.exists():
        read_measurements(out)  # refused before the long work when it is something else
    environments, measured = measure(request)
    file, note = merge(out, environments, measured)
    write(out, file)
    for line in ["", *table(measured), "", *([note] if note else [])]:
        say(line)
    say(f"{len(measured)} figures → {out}")
    if args.keep_accuracy:
        for name in keep_accuracies(request, environments[0], measured, sys.argv[1:] if argv is None else argv):
            say(f"accuracies kept in {name}")
    if args.render or (args.render is None and default_file(request) == MEASUREMENTS):
        render_again(request, out)
        say(f"the page shows them: {request.site}/results.html")


if __name__ == "__main__":
    run(main)
