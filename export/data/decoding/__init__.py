"""Image files as every browser and this package decode them: to the same pixels, whatever was done to the file."""
