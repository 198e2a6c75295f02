"""The vit engine: its file, its NumPy definition, and its WebAssembly builds."""
