"""ONNX: float models, and models with the integers of a recipe."""
