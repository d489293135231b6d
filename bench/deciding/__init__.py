"""What a decision costs: model, windows, the two doors, lists and the desk."""
