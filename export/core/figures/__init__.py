"""Figures: how near two outputs are, their statistics, and how they are written."""
