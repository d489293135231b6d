"""From the lake to a decision: the online store, the feature writer, and the scorer's HTTP application."""
