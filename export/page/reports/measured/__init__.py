"""Tables of what was measured in browsers, on visits, of builds and on devices."""
