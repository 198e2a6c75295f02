"""What the tests of the library share: a site that publishes it, on an origin of its own, and pages that use it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from export.measuring.browser.server import serving


@pytest.fixture(scope="session")
def library_site(build_page: Callable[..., Path]) -> Path:
    """A site of two variants that the library runs."""
    return build_page("w8_dynamic,w4_dynamic", "vit")


@pytest.fixture(scope="session")
def site(library_site: Path) -> Iterator[str]:
    """The address of that site, as a static host serves it."""
    with serving(library_site) as url:
        yield url


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve a page from another origin than the site's, and return its address."""
    with ExitStack() as servers:

        def serve(html: str, *, isolated: bool = False, files: dict[str, bytes] | None = None) -> str:
            folder = tmp_path / f"host{len(list(tmp_path.iterdir()))}"
            for name, body in {"index.html": html.encode(), **(files or {})}.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(body)
            return servers.enter_context(serving(folder, isolated=isolated))

        yield serve
