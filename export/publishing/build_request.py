"""From command line and configuration to what is to be built; the command line comes first."""

import argparse
import re
import sys
from argparse import Namespace
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from export.core.errors import RequestError
from export.core.paths import BENCHMARK, MEASUREMENTS
from export.models.catalog import DEFAULT_MODEL
from export.models.choice.options import ONE_MODEL, check_one_model, read_model, requested_model
from export.models.choice.request import ModelRequest
from export.page.content.presentation import ModelPage
from export.page.site import BuildRequest, ModelChoices
from export.pipeline.runtimes import default_recipes, find_engines, passed_over
from export.publishing.checkpoint_url import fetched
from export.publishing.configuration import MODELS, TABLES, Configuration, find_configuration
from export.publishing.option_values import check_common, options_of, read_values
from export.publishing.options import COMMON
from export.quantization.recipes import Recipe, find_recipes
from export.quantization.resources import read_resources

Values = dict[str, Any]
OF_ONE = (*ONE_MODEL, "name", "title", "source")  # options that cannot be those of several models
KEPT = ("recipe", "data")  # of what a file says, for a model that only the command line names
FIGURES = {"measurements": MEASUREMENTS, "benchmark": BENCHMARK}  # where they lie need not be said
UNSET = object()


def read_build(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> BuildRequest:
    """Return what is to be built; raises `RequestError` for what cannot be met, in the file or on the command line."""
    given = given_options(parser, argv)
    config = find_configuration(given.pop("config", None))
    common, tables = read_tables(config, parser)
    chosen, notes = _chosen(tables, given.pop("model", None), config)
    defaults = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    page = Namespace(**{**defaults, **common, **given})
    models = [Namespace(**{**defaults, **common, **table, **given}) for table in chosen]
    names = tuple(model.model for model in models)
    if len(models) > 1:
        check_one_model(Namespace(**{name: given.get(name) for name in OF_ONE}), names)
    return _request(page, models, config, [*_overrides(config, given), *notes])


def given_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> Values:
    """Return just what the command line says, by the names of `argparse`."""
    places = {option for one in parser._actions if one.type is Path for option in one.option_strings}
    _refuse_empty(sys.argv[1:] if argv is None else argv, {*places, "--model"})
    absent = {action.dest: None if action.dest == "model" else UNSET for action in parser._actions}
    values = vars(parser.parse_args(argv, Namespace(**absent)))
    return {name: value for name, value in values.items() if value is not absent[name]}


def _refuse_empty(words: Sequence[str], options: Collection[str]) -> None:
    """Raise `RequestError` where the value of one of these options is empty; others refuse it themselves."""
    for before, word in pairwise(["", *words]):
        option, separator, value = word.partition("=")
        option, value = (option, value) if separator and word.startswith("--") else (before, word)
        if not value and option in options:
            raise RequestError(
                f"{option} is empty", hint="give it a value or leave it out; a variable of your shell may not be set"
            )


def read_tables(config: Configuration, parser: argparse.ArgumentParser) -> tuple[Values, list[Values]]:
    """Return a configuration's options of the whole page, and the options of each of its models.

    Raises `RequestError` as `read_values` does, and for options of one model that several would share.
    """
    if config.file is None:
        return {}, []
    base, options = config.file.parent, options_of(parser)
    top = read_values(config.options, options, str(config.file), base, TABLES)
    common = {name: value for name, value in top.items() if name in COMMON}
    shared = {name: value for name, value in top.items() if name not in COMMON}
    tables = []
    for number, table in enumerate(config.models, 1):
        place = f"{config.file}: [[{MODELS}]] number {number}"
        check_common(table, place, options)
        own = read_values(table, options, place, base)
        if len(own.get("model", ())) > 1:
            raise RequestError(f"{place}: model is a list", hint=f"write one [[{MODELS}]] for each")
        tables.append({**shared, **own, "model": own.get("model", [None])[0]})
    tables = tables or [{**shared, "model": name} for name in shared.get("model", [None])]
    several = [name.replace("_", "-") for name in OF_ONE if name in shared]
    if len(tables) > 1 and several:
        raise RequestError(
            f"{config.file}: {' and '.join(several)} cannot be those of {len(tables)} models",
            hint=f"write them into the table of one model, below [[{MODELS}]]",
        )
    return common, tables


def _chosen(tables: list[Values], names: list[str] | None, config: Configuration) -> tuple[list[Values], list[str]]:
    """Return the tables of the models that are built, and what to say about the choice."""
    if names is None:
        return tables or [{"model": None}], []
    chosen: list[Values] = []
    for name in dict.fromkeys(names):
        called = [table for table in tables if name in (table["model"], table.get("name"))]
        unsaid = [{**table, "model": name} for table in tables if table["model"] is None]
        kept = {key: value for key, value in tables[0].items() if key in KEPT} if tables else {}
        chosen += called or unsaid or [{**kept, "model": name}]
    if tables and len(chosen) != len(tables):
        return chosen, [f"{config.file} has {len(tables)} models; built here: {', '.join(dict.fromkeys(names))}"]
    return chosen, []


def _overrides(config: Configuration, given: Iterable[str]) -> list[str]:
    if config.file is None:
        return []
    names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    return [f"{config.file} says what to build" + (f"; the command line comes first: {names}" if names else "")]


def _request(page: Namespace, models: Sequence[Namespace], config: Configuration, notes: list[str]) -> BuildRequest:
    notes = [*notes, *_missing_figures(page)]
    engines = find_engines(page.engine)
    # Whether the tools of a recipe are installed takes seconds to find out.
    recipes = {text: _recipes(text, engines) for text in dict.fromkeys(args.recipe for args in models)}
    requests: list[ModelRequest] = []
    choices: dict[str, ModelChoices] = {}
    for args in models:
        args.checkpoint = args.checkpoint and fetched(args.checkpoint)
        model = _model(args)
        if any(model.name.casefold() == other.name.casefold() for other in requests):
            raise RequestError(f"two models are called {model.name}", hint="give one of them another name: name = …")
        requests.append(model)
        choices[model.name] = ModelChoices(
            recipes=recipes[args.recipe][0], data=_data(args), samples=args.samples, page=_page(args)
        )
    return BuildRequest(
        models=tuple(requests),
        recipes=recipes[models[0].recipe][0],
        engines=engines,
        notes=tuple(dict.fromkeys((*notes, *(note for _, passed in recipes.values() for note in passed)))),
        resources=read_resources(page),
        texts=config.page,
        choices=choices,
        **{name: getattr(page, name) for name in ("artifacts", "measurements", "benchmark", "out", "force")},
    )


def _missing_figures(page: Namespace) -> list[str]:
    """Return notes on figures that are not where they are said to be."""
    paths = {name: getattr(page, name) for name, usual in FIGURES.items() if getattr(page, name) != usual}
    return [
        f"note: --{name} {path}: no such file; the page is without" for name, path in paths.items() if not path.exists()
    ]


def _model(args: Namespace) -> ModelRequest:
    model = read_model(args, requested_model(args, args.model, DEFAULT_MODEL))
    return replace(model, confidence=args.confidence, called=args.name or "")


def _recipes(text: str | None, engines: tuple[str, ...]) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
    """Return the recipes asked for or those that the engines run, and notes on those that are not as expected."""
    recipes, notes = (find_recipes(text), ()) if text is not None else default_recipes(engines)
    return recipes, (*notes, *passed_over(recipes, engines))


def _data(args: Namespace) -> Path | None:
    data: Path | None = args.data
    if data is not None and not data.exists():
        raise RequestError(f"--data {data}: no such folder or archive", hint="check the path")
    return data


def _page(args: Namespace) -> ModelPage:
    if args.source and not re.fullmatch(r"https?://\S+", args.source):
        raise RequestError(f"--source {args.source!r} is no address", hint="for instance https://example.org/my-model")
    return ModelPage(title=args.title or args.name or "", licence=args.licence or "", source=args.source or "")
