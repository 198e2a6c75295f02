"""What to measure: the combinations that the page offers, this machine can run, and the command line selects."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from export.core.errors import MeasurementError, RequestError
from export.core.figures.stats import Figure
from export.core.records import Environment, Measurement
from export.measuring.browser.environment import describe_environment, is_software
from export.measuring.browser.page_client import PageClient, page_client
from export.measuring.browser.tab import WebBrowser

THREADED = ("wasm",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the command line selects; an empty tuple stands for everything there is.

    `build` is one of the vit engine's, '' the fastest of the browser.
    """

    models: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    threads: tuple[int, ...] = (1,)
    accuracy_backends: tuple[str, ...] = ()
    build: str = ""


@dataclass(frozen=True, eq=False)
class Combination:
    """One variant on one back end with a number of threads; `model` and `variant` are objects of the page's data."""

    model: dict[str, Any]
    variant: dict[str, Any]
    backend: str
    threads: int
    browser: str
    build: str = ""

    def __str__(self) -> str:
        threads = f" × {self.threads} threads" if self.threads > 1 else ""
        return f"{self.model['name']} {self.variant['id']} on {self.backend}{threads}, {self.browser}"

    def load_into(self, client: PageClient, *, batch: int = 1) -> dict[str, Any]:
        """Load this combination in a page; return what `PageClient.load` does."""
        build = self.build or None
        return client.load(self.model, self.variant, self.backend, self.threads, batch=batch, build=build)

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
            browser=self.browser,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPlan:
    """A served page with the combinations to time and those whose accuracy to check; `skipped` says what else and why.

    Accuracy is checked with one thread: the outputs do not depend on it.
    """

    browser: WebBrowser
    url: str
    site_data: dict[str, Any]
    environment: Environment
    timed: tuple[Combination, ...]
    checked: tuple[Combination, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackendState:
    """A back end of an engine in this browser; `reason` says why it is not available, or names the GPU."""

    engine: str
    name: str
    available: bool
    reason: str


def plan_measurements(
    browser: WebBrowser, url: str, site_data: dict[str, Any], selection: Selection
) -> MeasurementPlan:
    """Ask the page which back ends this machine has, and combine them with what is selected.

    Raises `RequestError` when something selected by name does not exist or is not available here.
    """
    pairs = _select_variants(site_data, selection)
    engines = dict.fromkeys(variant["engine"] for _, variant in pairs)
    with page_client(browser, url, site_data) as client:
        environment = describe_environment(browser.title, client.device())
        states = [
            BackendState(engine, state["name"], state["available"], state["reason"])
            for engine in engines
            for state in client.backends(engine)
        ]
    _check_available(states, selection)
    available = {engine: [s for s in states if s.available and s.engine == engine] for engine in engines}
    selected = {
        engine: [state for state in here if state.name in (selection.backends or [state.name])]
        for engine, here in available.items()
    }
    return MeasurementPlan(
        browser=browser,
        url=url,
        site_data=site_data,
        environment=environment,
        timed=tuple(
            Combination(model, variant, state.name, threads, browser.title, selection.build)
            for model, variant in pairs
            for state in selected[variant["engine"]]
            if not is_software(state.reason)
            for threads in (selection.threads if state.name in THREADED else (1,))
        ),
        checked=tuple(
            Combination(model, variant, backend, 1, browser.title, selection.build)
            for model, variant in pairs
            for backend in selection.accuracy_backends or [state.name for state in selected[variant["engine"]][:1]]
            if backend in [state.name for state in available[variant["engine"]]]
        ),
        skipped=tuple(_skipped(states, selected, selection)),
    )


def _skipped(
    states: Iterable[BackendState], selected: dict[str, list[BackendState]], selection: Selection
) -> list[str]:
    """Return a line on every back end that is not there, on engines with none, and on GPUs that are software."""
    missing = [f"{state.engine} on {state.name}: {state.reason}" for state in states if not state.available]
    empty = [f"{engine}: not on {', '.join(selection.backends)}" for engine, here in selected.items() if not here]
    # A CPU that stands in for a GPU gives right answers, but its speed says nothing of any GPU.
    untimed = [
        f"latency of {state.engine} on {state.name}: {state.reason}"
        for state in sorted((state for here in selected.values() for state in here), key=lambda s: (s.engine, s.name))
        if is_software(state.reason)
    ]
    return [*missing, *empty, *untimed]


def _select_variants(site_data: dict[str, Any], selection: Selection) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the selected variants with their models; raises `RequestError` when there are none."""
    models = site_data["models"]
    _check_known({model["name"] for model in models}, selection.models, "--model", "this page has")
    every = [
        (model, variant)
        for model in models
        if model["name"] in (selection.models or [model["name"]])
        for variant in model["variants"]
    ]
    _check_known({variant["id"] for _, variant in every}, selection.variants, "--variant", "this page has")
    _check_known({variant["engine"] for _, variant in every}, selection.engines, "--engine", "this page has")
    pairs = [
        (model, variant)
        for model, variant in every
        if variant["id"] in (selection.variants or [variant["id"]])
        and variant["engine"] in (selection.engines or [variant["engine"]])
    ]
    if not pairs:
        raise RequestError(
            "no variant of this page matches --model, --variant and --engine together", hint="leave one of them out"
        )
    return pairs


def _check_available(states: list[BackendState], selection: Selection) -> None:
    """Raise `RequestError` for a selected back end that is not here, `MeasurementError` for an engine without any."""
    selected = (*selection.backends, *selection.accuracy_backends)
    _check_known({state.name for state in states}, selected, "--backend", "this page's engines have")
    here = list(dict.fromkeys(state.name for state in states if state.available))
    for name in selected:
        if name not in here:
            reasons = "; ".join(f"{state.engine} on {name}: {state.reason}" for state in states if state.name == name)
            raise RequestError(f"not available here: {reasons}", hint=f"available: {', '.join(here) or 'none'}")
    for engine in dict.fromkeys(state.engine for state in states):
        if not any(state.available for state in states if state.engine == engine):
            reasons = "; ".join(
                f"{engine} on {state.name}: {state.reason}" for state in states if state.engine == engine
            )
            raise MeasurementError(f"{engine} has no backend in this browser: {reasons}")


def _check_known(existing: Collection[str], names: Iterable[str], option: str, whose: str) -> None:
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise RequestError(f"{option}: unknown {', '.join(unknown)}", hint=f"{whose}: {', '.join(sorted(existing))}")
