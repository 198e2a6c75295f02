"""What the jobs of a comparison do: each module has a function `run` from options and places to plain JSON values."""
