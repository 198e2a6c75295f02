"""Models saved by Hugging Face `transformers`, as their twins in timm: architecture, weights and preprocessing."""
