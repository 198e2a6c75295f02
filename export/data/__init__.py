"""Data: images to normalised tensors (preprocessing), datasets, calibration images, labels and the embedded assets."""
