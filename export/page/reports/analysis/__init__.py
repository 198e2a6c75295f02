"""Analyses of layers as page and documents show them: their records, tables and heat maps."""
