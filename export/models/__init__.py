"""Models: the catalog, requests, how a float model is loaded, and the float model as an artifact."""
