"""Decision records read back from the lake, and made again."""
