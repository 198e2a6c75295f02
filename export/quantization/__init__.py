"""Quantization: from a float module to integer weights with scales, and back from one file."""
