"""From a request to verified artifacts: the table of formats, the store, and the build that walks them."""
