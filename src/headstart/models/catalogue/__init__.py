"""The published models side by side, and the field's timeline."""
