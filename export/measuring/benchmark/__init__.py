"""All engines against each other on one page."""
