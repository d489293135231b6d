"""The tour's table of thefts: where each was first stopped, what was lost before, and whether its reasons name it."""

import json

from demo import page
from demo.attacks import EXPECTED, Theft, table
from demo.run import console


def decision(action, amount, *codes):
    """Return what the table reads of a decision."""
    reasons = [{"code": code, "text": f"because of {code}"} for code in codes]
    return {"decision": action, "features": json.dumps({"amount": amount}), "reasons": json.dumps(reasons)}


def test_a_theft_is_stopped_at_its_first_payment_that_is_not_approved():
    """What went through before is lost, what came after is not; a payment without a decision is none."""
    theft = Theft(
        "card_testing",
        [decision("approve", 1.5), None, decision("review", 200.0, "velocity"), decision("approve", 9.0)],
    )
    assert (theft.stopped_at, theft.lost) == (3, 1.5)
    assert Theft("card_testing", [decision("approve", 2.0), decision("approve", None)]).stopped_at is None
    assert Theft("card_testing", [decision("approve", 2.0), decision("approve", None)]).lost == 2.0


def test_a_pattern_is_named_only_by_the_first_two_reasons():
    """A line counts thefts, undecided payments and those whose first two reasons have an expected code."""
    named = Theft("geo_jump", [decision("block", 5.0, "amount", "place")])
    third = Theft("geo_jump", [decision("approve", 7.0), decision("review", 5.0, "amount", "entry", "place")])
    others = [Theft(name, [None]) for name in EXPECTED if name != "geo_jump"]
    found = table([named, third, *others])
    assert found["lines"][0] == {
        "pattern": "geo_jump",
        "thefts": 2,
        "payments": 3,
        "undecided": 0,
        "stopped": 2,
        "stopped_at": 1.5,
        "lost": 3.5,
        "named": 1,
    }
    assert found["lines"][1]["undecided"] == 1
    with console.capture() as said:
        page._attacks(found)
    assert "geo_jump: stopped at payment 1 of 1: because of amount; because of place" in said.get()
    assert "velocity_burst: stopped at not one of 1: -" in said.get()
