"""Our own engine: its file, its definition in NumPy, and its WebAssembly builds."""
