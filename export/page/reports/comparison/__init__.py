"""Comparisons of models and recipes: their records, and how they are written as tables."""
