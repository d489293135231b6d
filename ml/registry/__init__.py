"""How a model gets to the scorers: its files with a manifest, its version, the champion's alias."""
