"""What calibration keeps for later: activations of a pass, and what recipes of a model share."""
