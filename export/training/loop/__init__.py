"""The loop: batches, augmentation, noise on weights, schedule, checkpoints."""
