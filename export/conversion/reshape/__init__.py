"""A VisionTransformer rewritten for the runtime that is to run it, with the same outputs."""
