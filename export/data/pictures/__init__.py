"""Pictures to train on: found with their classes, and decoded once into arrays on disk."""
