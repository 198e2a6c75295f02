"""From stored artifacts and measurements to the site; only Jinja, msgspec and the standard library."""
