"""Images in, normalised tensors out: preprocessing, datasets and the embedded assets."""
