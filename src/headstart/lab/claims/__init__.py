"""The claims: one file each, by chapter."""
