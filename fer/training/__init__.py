"""Training: one configuration, one loop, and what a run leaves behind."""
