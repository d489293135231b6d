"""Rule sets and payments for tests of rules."""

from dataclasses import replace
from typing import Any

import yaml

import features
from scoring.rules import Lists, RuleSet
from serving.policy.lists import add, place

CARD = "ab" * 32
NOW_US = 1_790_000_000_000_000
KNOWN = 5.0


def rule(name: str = "a_rule", condition: str = "amount > 100", **changes: Any) -> dict[str, Any]:
    """Return a good rule in its plain form."""
    made = {
        "name": name,
        "condition": condition,
        "action": "review",
        "priority": 10,
        "owner": "tests",
        "sentence": "a rule of the tests",
    }
    return made | changes


def ruleset(*rules: dict[str, Any], lists: list[dict[str, Any]] | None = None, **more: Any) -> RuleSet:
    """Return the rules as if read from a file, with lists as if they were in force."""
    found = RuleSet.read(yaml.safe_dump({"rules": list(rules), **more}))
    if lists is None:
        return found
    entries = Lists()
    puts = (add(place(e["list"], e["by"], e["value"]), e["reason"], e["until"], "tests", 0) for e in lists)
    entries.put((*where, body.text()) for where, body in puts)
    return replace(found, listed=entries.find)


def entry(**changes: Any) -> dict[str, Any]:
    """Return a good entry of a list in its plain form."""
    made = {"list": "deny", "by": "card", "value": CARD, "reason": "stolen", "until": "2099-01-01T00:00:00Z"}
    return made | changes


def whole(said: dict[str, Any]) -> str:
    """Return a file of rules or lists as it stands in force, with YAML's mark of its end."""
    return yaml.safe_dump(said, explicit_end=True)


def payment(**changes: Any) -> dict[str, Any]:
    """Return a payment with only what it must have."""
    made = {
        "source": "test",
        "transaction_id": "t1",
        "event_time": NOW_US,
        "card_id": CARD,
        "amount_minor": 1250,
        "currency": "EUR",
        "message_type": "authorization",
    }
    return made | changes


def values(**changes: float) -> tuple[float, ...]:
    """Return a vector of which every feature is KNOWN but those given."""
    return tuple(changes.get(name, KNOWN) for name in features.NAMES)
