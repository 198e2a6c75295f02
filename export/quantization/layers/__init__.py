"""Quantized layers and the arithmetic of their numbers."""
