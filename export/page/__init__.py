"""From stored artifacts and measurements to the site; the standard library and Jinja alone."""
