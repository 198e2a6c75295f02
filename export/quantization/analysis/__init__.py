"""What quantization does to each layer of a model, and which bits each layer should have."""
