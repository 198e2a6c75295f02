"""What everything else stands on: errors, records, files, units, statistics."""
