"""Folds: the float model rewritten, exactly, so that its numbers suffer less when they are rounded."""
