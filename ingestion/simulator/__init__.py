"""The simulated world: its past and present, thefts, bad records."""
