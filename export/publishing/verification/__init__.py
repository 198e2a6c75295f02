"""Verifying a published page: its files, that its weights decode and run, and that they are a given model's."""
