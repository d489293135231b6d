"""Training: the point-in-time set, the model and its baselines, honest metrics, the registry."""
