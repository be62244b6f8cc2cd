"""Claims about why to pre-train."""
