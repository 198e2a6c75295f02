"""From a float model and images to scales and integers."""
