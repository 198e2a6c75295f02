"""A person's file of weights: read without running code in it, and loaded into a model or rejected with a reason."""
