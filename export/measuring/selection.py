"""What a measuring run measures: the combinations the page offers, the machine has and the person asked for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser

from export.core.errors import MeasurementError, RequestError
from export.core.records import Environment, Measurement
from export.core.stats import Figure
from export.measuring.browser.environment import describe_environment, is_software
from export.measuring.browser.page_client import PageClient, page_client

THREADED = ("wasm",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a person asked for; an empty tuple stands for everything there is."""

    models: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    threads: tuple[int, ...] = (1,)
    accuracy_backends: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Combination:
    """One variant on one back end with so many threads; `model` and `variant` are objects of the page's data."""

    model: dict[str, Any]
    variant: dict[str, Any]
    backend: str
    threads: int

    def __str__(self) -> str:
        threads = f" × {self.threads} threads" if self.threads > 1 else ""
        return f"{self.model['name']} {self.variant['id']} on {self.backend}{threads}"

    def load_into(self, client: PageClient, *, batch: int = 1) -> dict[str, Any]:
        """Load this combination in a page; return what `PageClient.load` does."""
        return client.load(self.model, self.variant, self.backend, self.threads, batch=batch)

    def measurement(self, metric: str, unit: str, figure: Figure) -> Measurement:
        """Return a figure as a record of this combination."""
        return Measurement(
            metric=metric,
            value=figure.value,
            unit=unit,
            n=figure.n,
            p10=figure.low,
            p90=figure.high,
            model=self.model["name"],
            variant=self.variant["id"],
            engine=self.variant["engine"],
            backend=self.backend,
            threads=self.threads,
            artifact_sha256=self.variant["sha256"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The combinations to time and to check, what was left out and why, and where all this happens."""

    url: str
    site_data: dict[str, Any]
    environment: Environment
    timed: tuple[Combination, ...]
    checked: tuple[Combination, ...]
    left_out: tuple[str, ...]


def make_plan(browser: Browser, url: str, site_data: dict[str, Any], selection: Selection) -> Plan:
    """Ask the page what this machine has and combine it with what was asked for.

    Raises `RequestError` when something asked for by name does not exist or is not available here.
    """
    pairs = _pairs(site_data, selection)
    engines = dict.fromkeys(variant["engine"] for _, variant in pairs)
    with page_client(browser, url, site_data) as client:
        environment = describe_environment(browser, client.device())
        backends = {engine: client.backends(engine) for engine in engines}
    here, left_out = _available(backends, selection)
    chosen = {
        engine: [name for name in names if name in (selection.backends or names)] for engine, names in here.items()
    }
    left_out += [f"{engine}: not on {', '.join(selection.backends)}" for engine, names in chosen.items() if not names]
    # A CPU that stands in for a GPU gives right answers, but its speed says nothing of any GPU.
    notes = {(engine, one["name"]): one["reason"] for engine, found in backends.items() for one in found}
    untimed = {(engine, name) for engine, names in chosen.items() for name in names if is_software(notes[engine, name])}
    left_out += [f"latency of {engine} on {name}: {notes[engine, name]}" for engine, name in sorted(untimed)]
    timed = [
        Combination(model, variant, backend, threads)
        for model, variant in pairs
        for backend in chosen[variant["engine"]]
        if (variant["engine"], backend) not in untimed
        for threads in (selection.threads if backend in THREADED else (1,))
    ]
    checked = [
        Combination(model, variant, backend, 1)
        for model, variant in pairs
        for backend in selection.accuracy_backends or chosen[variant["engine"]][:1]
        if backend in here[variant["engine"]]
    ]
    return Plan(
        url=url,
        site_data=site_data,
        environment=environment,
        timed=tuple(timed),
        checked=tuple(checked),
        left_out=tuple(left_out),
    )


def _pairs(site_data: dict[str, Any], selection: Selection) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the page's models and variants that were asked for; raises `RequestError` when there are none."""
    models = site_data["models"]
    _known({model["name"] for model in models}, selection.models, "--model", "this page has")
    every = [
        (model, variant)
        for model in models
        if model["name"] in (selection.models or [model["name"]])
        for variant in model["variants"]
    ]
    _known({variant["id"] for _, variant in every}, selection.variants, "--variant", "this page has")
    _known({variant["engine"] for _, variant in every}, selection.engines, "--engine", "this page has")
    pairs = [
        (model, variant)
        for model, variant in every
        if variant["id"] in (selection.variants or [variant["id"]])
        and variant["engine"] in (selection.engines or [variant["engine"]])
    ]
    if not pairs:
        raise RequestError("no variant of this page has that --model, --variant and --engine at once")
    return pairs


def _available(
    backends: dict[str, list[dict[str, Any]]], selection: Selection
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the available back ends of each engine, and a line on each that is not available."""
    here = {engine: [one["name"] for one in found if one["available"]] for engine, found in backends.items()}
    missing = {
        (engine, one["name"]): f"{engine} on {one['name']}: {one['reason']}"
        for engine, found in backends.items()
        for one in found
        if not one["available"]
    }
    asked = (*selection.backends, *selection.accuracy_backends)
    _known(
        {one["name"] for found in backends.values() for one in found}, asked, "--backend", "this page's engines have"
    )
    for name in asked:
        if not any(name in names for names in here.values()):
            reasons = "; ".join(line for (_, backend), line in missing.items() if backend == name)
            every = dict.fromkeys(backend for names in here.values() for backend in names)
            raise RequestError(f"not available here: {reasons}", hint=f"available: {', '.join(every) or 'none'}")
    for engine, names in here.items():
        if not names:
            reasons = "; ".join(line for (one, _), line in missing.items() if one == engine)
            raise MeasurementError(f"{engine} has no back end in this browser: {reasons}")
    return here, list(missing.values())


def _known(existing: Collection[str], names: Iterable[str], option: str, whose: str) -> None:
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise RequestError(
            f"{option}: there is no {', '.join(unknown)}", hint=f"{whose}: {', '.join(sorted(existing))}"
        )
