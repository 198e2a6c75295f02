"""The weights of a model: drawn at random, not drawn yet, packed, and as an artifact."""
