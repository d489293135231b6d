"""What of the pipeline answers, and what to do about the rest."""
