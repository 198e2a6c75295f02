"""What training leaves beside the weights: the model card, and its renderings for people."""
