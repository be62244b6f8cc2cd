"""How the work of a run is laid out over processes."""
