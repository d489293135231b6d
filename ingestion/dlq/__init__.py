"""Dead letters: which there are, one of them, sent again."""
