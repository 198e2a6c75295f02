"""Models: what may be asked for, how it is loaded, and the float model as an artifact."""
