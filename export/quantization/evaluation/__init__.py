"""Evaluation of recipes: accuracy, agreement with the float model, SQNR, size and cost."""
