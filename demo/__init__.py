"""The tour: every stage by its own command, from an empty lake to a scored payment."""
