"""From a person's model to a page at their address: configuration, repository, publication, verification."""
