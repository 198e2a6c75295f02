"""What a page holds: its models, variants and files, as the page and its manifests say them."""
