"""One file a family: presets, names of weights, configuration."""
