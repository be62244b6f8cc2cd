"""What a corpus says of itself: counts, figures, one page."""
