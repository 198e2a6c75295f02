"""A small repository of one's own that builds and publishes a page."""
