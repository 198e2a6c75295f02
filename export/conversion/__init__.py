"""One folder a target: ONNX, TF.js, LiteRT, our own engine; every conversion is compared with what it was made from.

Importing this package imports nothing heavy: the tools themselves are loaded by the conversions, most of them in the
converter process.
"""
