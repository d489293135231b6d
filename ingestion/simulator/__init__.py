"""The simulated world: its history and its live traffic, thefts, bad records."""
