"""Measuring the built page in a real browser, and against the float model in PyTorch."""
