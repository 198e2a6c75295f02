"""A folder in which a library keeps a model: its configuration, its weights, and how pictures are prepared for it."""
