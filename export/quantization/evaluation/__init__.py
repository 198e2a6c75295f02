"""What a recipe keeps of a model: accuracy, agreement, SQNR, size and cost."""
