"""A VisionTransformer rewritten for the runtime that will run it, with the same outputs."""

REWRITE_RECORD = "rewrite.json"  # beside ONNX: the target, and why the model could not be rewritten for it, or null
