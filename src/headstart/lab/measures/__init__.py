"""What claims measure: each measure once, for all claims that use it."""
