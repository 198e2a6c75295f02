"""Where things lie: the repository's own folders, and where commands put what they make unless told otherwise."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "export"
SITE, TEMPLATES = REPOSITORY / "site", REPOSITORY / "templates"
ENGINE_SOURCE = SITE / "engine"
ASSETS = PACKAGE / "data" / "assets"  # embedded models and images

ARTIFACTS, SITE_OUT, CACHE = Path("artifacts"), Path("_site"), Path(".cache")
MEASUREMENTS, BENCHMARK = ARTIFACTS / "measurements.json", ARTIFACTS / "benchmark.json"
