"""Engines compared on one model: the kept figures, as tables of the documents and on the page."""
