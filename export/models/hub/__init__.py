"""The model hub: weights of timm's models, and whole repositories, from its cache or downloaded."""
