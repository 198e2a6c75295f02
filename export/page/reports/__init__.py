"""Figures that are kept in files, and how they are read back as tables and views."""
