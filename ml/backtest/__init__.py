"""What rules, a model or a threshold would have done to payments that were decided already."""
