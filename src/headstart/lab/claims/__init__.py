"""The forty claims: one file each, by chapter of the lesson."""
