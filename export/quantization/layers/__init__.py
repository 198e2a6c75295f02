"""Quantized layers and their arithmetic."""
