"""Other people's runtimes, set up as their own documentation says, for the benchmark to compare with; not published."""
