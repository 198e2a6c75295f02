"""The benchmark: all engines compared on one page."""
