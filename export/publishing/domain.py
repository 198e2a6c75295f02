"""Domains of a person's own."""

import re

from export.core.errors import RequestError

DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.IGNORECASE)


def check_domain(domain: str) -> None:
    """Raise `RequestError` for what is no domain; an empty text stands for none."""
    if domain and not DOMAIN.fullmatch(domain):
        raise RequestError(
            f"{domain!r} is no domain", hint="the name alone, without https:// or a path: model.example.org"
        )
