"""Which model is asked for, and where it comes from."""
