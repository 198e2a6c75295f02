"""Comparison of models and recipes: a grid of independent jobs, and the tables and plots of what they found."""
