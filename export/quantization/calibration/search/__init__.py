"""Searches for the scales of least loss."""
