"""What a model is worth: an experiment on a later period, whole thefts, and the table that says so."""
