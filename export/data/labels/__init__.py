"""Labels: names of classes from files and folders, ImageNet's own, and which class an image belongs to."""
