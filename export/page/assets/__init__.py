"""What a page is made of beside its models: scripts, samples, the library, the service worker."""
