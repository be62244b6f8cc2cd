"""What a document is measured by, and the rules over the measures."""
