"""What tests of the service worker share: a browser, a host that can fail, and a site."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Browser, BrowserContext
from visits import Handler, Release

from export.measuring.browser.chromium import Troubles


@pytest.fixture
def handler() -> type[Handler]:
    return type("Handler", (Handler,), {"gone": Event(), "spoilt": set(), "held": set(), "released": Event()})


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile that allows service workers, as visitors' do."""
    with chromium.new_context() as context:
        context.set_default_timeout(120_000)
        troubles = Troubles(context)
        troubles.expect("ERR_")  # what a visit without a network asks for in vain
        yield context
        assert troubles.messages == []


@pytest.fixture
def release(built_site: Path, tmp_path: Path) -> Release:
    """A copy of the built site."""
    shutil.copytree(built_site, tmp_path / "_site")
    return Release(tmp_path / "_site")
