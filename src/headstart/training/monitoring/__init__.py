"""What is seen of a run while it trains: statistics, spikes, diagnoses, captures, other trackers."""
