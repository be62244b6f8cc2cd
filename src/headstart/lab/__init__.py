"""The laboratory: what the field claims, each claim an experiment with a rule that is older than its run."""
