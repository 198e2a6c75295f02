"""One folder per target: ONNX, TF.js, LiteRT, the vit engine; every conversion is compared with its parent.

Importing this package imports nothing heavy: the tools themselves are loaded by the conversions, most of them in the
converter process.
"""
