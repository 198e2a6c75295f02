"""Files of figures, read back as tables and views."""
