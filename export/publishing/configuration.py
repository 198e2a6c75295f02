"""`vit-pages.toml`: what is on a page, and how it is published."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from export.core.errors import ArtifactError, RequestError
from export.core.schema import Count, Record
from export.page.content.presentation import OWN_TEXTS, PageTexts
from export.publishing.options import CONFIG

MODELS = "models"
TABLES = ("page", "publish", "workflow", MODELS)
Kind = TypeVar("Kind", bound=Record)


class PublishSettings(Record, frozen=True, kw_only=True):
    """How the built site is published: to a branch of a git remote, at a domain of one's own if that is named.

    `visits` is how many first visits a month are expected, 0 where nobody knows.
    """

    remote: str = "origin"
    branch: str = "gh-pages"
    domain: str = ""
    visits: Count = 0


class WorkflowSettings(Record, frozen=True, kw_only=True):
    """What the repository's own workflow installs: lines of a requirements file, as pip reads them."""

    install: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration file: the build's options of all models and of each, and the other tables.

    Without a `file`, everything is as it is by default. Options are by their name on the command line, without dashes.
    """

    file: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[Mapping[str, Any], ...] = ()
    page: PageTexts = OWN_TEXTS
    publish: PublishSettings = field(default_factory=PublishSettings)
    workflow: WorkflowSettings = field(default_factory=WorkflowSettings)


def find_configuration(named: Path | None) -> Configuration:
    """Read the configuration file that is named, or the one in the current folder, or none.

    Raises `RequestError` for a file that cannot be read and for tables that are not known; options are checked by who
    reads them.
    """
    path = named or Path(CONFIG)
    if named is None and not path.exists():
        return Configuration()
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise RequestError(f"--config {path} {state}", hint=f"name the file itself, {CONFIG} for instance")
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not UTF-8: {error.reason}", hint="save it as UTF-8") from error
    except RecursionError as error:
        raise RequestError(f"{path} is not TOML: its values are nested too deeply", hint="write it again") from error
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path} is not TOML: {error}", hint="texts stand in quotes, lists in brackets") from error
    tables = {name: values.pop(name) for name in TABLES if name in values}
    return Configuration(
        file=path,
        options=values,
        models=_models(path, tables.get(MODELS, []), values),
        page=_table(path, tables, "page", PageTexts),
        publish=_table(path, tables, "publish", PublishSettings),
        workflow=_table(path, tables, "workflow", WorkflowSettings),
    )


def _table(path: Path, tables: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    try:
        return kind.from_json(tables.get(name, {}))
    except ArtifactError as error:
        raise RequestError(f"{path}: [{name}]: {error.message}", hint=f"correct [{name}] in {path}") from error


def _models(path: Path, tables: Any, options: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise RequestError(f"{path}: {MODELS} is no list of tables", hint=f"write [[{MODELS}]] before each model")
    if isinstance(options.get("model"), list) and any(isinstance(one, dict) for one in options["model"]):
        raise RequestError(f"{path} has [[model]]", hint=f"write [[{MODELS}]]")
    if tables and "model" in options:
        raise RequestError(
            f"{path} has both model and [[{MODELS}]]", hint=f"write model into the tables of [[{MODELS}]]"
        )
    return tuple(tables)
