"""Rules and lists: what people say about payments, typed and versioned, for one payment or over columns."""

from scoring.rules.contents import By, Contents, Control, Entry, ListName, Rule
from scoring.rules.lists import Lists
from scoring.rules.ruleset import Hits, RuleSet

__all__ = ["By", "Contents", "Control", "Entry", "Hits", "ListName", "Lists", "Rule", "RuleSet"]
