"""The trainer: the process in a run's pods, from the resolved run to the finished model."""
