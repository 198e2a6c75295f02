"""ONNX: float, and with a recipe’s own integers."""
