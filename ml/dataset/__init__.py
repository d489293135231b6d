"""What a model learns from: point-in-time rows of the lake, their windows by replay, their labels as known then."""
