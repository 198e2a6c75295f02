"""What everything else builds on: errors, records, files, units, statistics."""
