"""Plots of a comparison as files, SVG and PNG, drawn by matplotlib."""
