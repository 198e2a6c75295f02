"""What reference projects can do and have published, beside the commands that do it here."""
