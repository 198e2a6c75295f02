"""Training: of float models, and of quantized ones (QAT)."""
