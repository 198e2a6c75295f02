"""A real browser and a server that answers as a static host would."""
