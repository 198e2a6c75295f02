"""Third-party runtimes, set up as their documentation says, for comparison in the benchmark; not published."""
