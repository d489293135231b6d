"""How a model is made: the booster and its form as files, the baselines that it must beat."""
