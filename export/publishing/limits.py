"""Facts as data: what GitHub takes of a repository and of a page, in bytes."""

from export.page.render import MONTHLY_TRAFFIC, SITE_LIMIT

FILE_LIMIT = 100_000_000  # a larger file is refused when it is pushed
LFS_FILE_LIMIT = 2_000_000_000  # of Git LFS, and of a release asset
__all__ = ["FILE_LIMIT", "LFS_FILE_LIMIT", "MONTHLY_TRAFFIC", "SITE_LIMIT"]
