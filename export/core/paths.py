"""Where things lie: what the project brings along, and where commands put what they make unless told otherwise."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
IMPORTED_FROM = PACKAGE.parent  # the folder of the package: the repository, or site-packages
# A wheel brings what a repository has beside the package, and, ready-made, what Node and Zig make there.
BROUGHT_ALONG = PACKAGE / "resources"
INSTALLED = BROUGHT_ALONG.is_dir()
RESOURCES = BROUGHT_ALONG if INSTALLED else IMPORTED_FROM
SITE, TEMPLATES = RESOURCES / "site", RESOURCES / "templates"
PREBUILT_BUNDLE, PREBUILT_ENGINE = BROUGHT_ALONG / "bundle", BROUGHT_ALONG / "engine"
ENGINE_SOURCE = SITE / "engine"
ASSETS = PACKAGE / "data" / "assets"  # embedded models and images

ARTIFACTS, SITE_OUT, CACHE = Path("artifacts"), Path("_site"), Path(".cache")
MEASUREMENTS, BENCHMARK = ARTIFACTS / "measurements.json", ARTIFACTS / "benchmark.json"
