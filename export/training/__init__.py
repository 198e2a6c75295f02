"""Training of float models on pictures: from scratch, from weights, or from a teacher."""
