"""What others would use for the same job, written as well as we can, so that a ratio means something."""
