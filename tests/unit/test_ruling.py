"""The one order in which lists, rules, notes and the model come to a decision."""

import math

import pytest

from features import DAY_US, FeatureVector, Profile, Status
from scoring.decision import Decision, Scored
from scoring.notes import Note, NoteKind
from scoring.reasons import Reason
from scoring.ruling import DecidedBy, is_in_control, rule
from tests.unit import rule_files
from tests.unit.rule_files import NOW_US, entry, payment, ruleset, values

NONE = Profile(Status.ABSENT)
THRESHOLD = 0.5
APPROVE, REVIEW, STEP_UP, BLOCK = Decision.APPROVE, Decision.REVIEW, Decision.STEP_UP, Decision.BLOCK


def vector():
    return FeatureVector(values(), NONE, NONE, NONE)


def said(decision=APPROVE, *reasons):
    """Return the model's word, its margin the sum of its reasons and a base of -0.1."""
    margin = sum(reason.weight for reason in reasons) - 0.1
    return Scored(vector(), 1 / (1 + math.exp(-margin)), margin, decision, list(reasons))


def always(name, action, **changes):
    return rule_files.rule(name, "true", action=action, **changes)


def ruled(rules=None, scored=None, notes=(), paid=None, now_us=NOW_US):
    return rule(rules, paid or payment(), vector(), scored, threshold=THRESHOLD, notes=notes, now_us=now_us)


ORDER = (
    (entry(list="deny"), BLOCK, "deny_list"),
    (entry(list="allow"), APPROVE, "allow_list"),
    (always("first", "step_up", priority=1), STEP_UP, "first"),
    (always("stricter", "block", priority=2), BLOCK, "stricter"),
    (always("softer", "approve", priority=2), APPROVE, "softer"),
    (entry(list="watch"), REVIEW, "watch_list"),
)


@pytest.mark.parametrize("first", range(len(ORDER)))
@pytest.mark.parametrize("model", [APPROVE, REVIEW, None])
def test_whoever_comes_first_decides(first, model):
    """Deny, allow, rules by priority and then the stricter, watch: each overrules all after it, and the model."""
    left = ORDER[first:]
    rules = ruleset(*(each for each, _, _ in left if "name" in each), lists=[e for e, _, _ in left if "list" in e])
    found = ruled(rules, said(model, Reason("amount", "much", 1.0)) if model else None)
    _, decision, code = ORDER[first]
    assert (found.decision, found.decided_by, found.acted) == (decision, DecidedBy.RULE, code)
    assert found.reasons[0].code == code
    assert len(found.reasons) == len(left) + (model is not None)


@pytest.mark.parametrize("rules", [None, ruleset(rule_files.rule(condition="amount > 1e9"))])
def test_without_a_hit_the_model_decides_as_before(rules):
    """Where no rule says anything the decision and its reasons are the model's; without a model it is the fallback."""
    alert = said(REVIEW, Reason("amount", "much", 1.0))
    found = ruled(rules, alert)
    assert (found.decision, found.decided_by, found.as_json) == (REVIEW, DecidedBy.MODEL, None)
    assert list(found.reasons) == alert.reasons
    assert (ruled(rules).decision, ruled(rules).decided_by) == (APPROVE, DecidedBy.FALLBACK)


def test_a_shadow_rule_is_recorded_and_never_acts():
    """It stands among the hits, not among the reasons, and the decision is as without it."""
    found = ruled(ruleset(always("tried", "block", shadow=True)), said())
    assert (found.decision, found.decided_by, found.reasons) == (APPROVE, DecidedBy.MODEL, ())
    assert found.as_json["hits"] == [{"name": "tried", "action": "block", "shadow": True}]


def note(*codes, until_us=NOW_US + 1, kind=NoteKind.TRAVEL):
    return Note(kind, until_us, frozenset(codes) or None)


PLACE, AMOUNT = Reason("place", "far", 1.5), Reason("amount", "much", 0.25)


@pytest.mark.parametrize(
    ("notes", "decision", "suppressed"),
    [
        ([note("place")], REVIEW, ()),  # the amount alone would have been enough
        ([note("place", "amount")], APPROVE, ("place", "amount")),
        ([note("place"), note("amount", kind=NoteKind.CLEARED)], APPROVE, ("place", "amount")),
        ([note()], APPROVE, ("place", "amount")),
        ([note("velocity")], REVIEW, ()),
        ([note(until_us=NOW_US)], REVIEW, ()),
        ([], REVIEW, ()),
    ],
)
def test_a_note_suppresses_an_alert_that_would_not_be_without_its_reasons(notes, decision, suppressed):
    """The model's alert is kept back if without the covered pushes its score is below the threshold; it is recorded."""
    found = ruled(None, said(REVIEW, PLACE, AMOUNT), notes)
    assert (found.decision, found.decided_by, found.suppressed) == (decision, DecidedBy.MODEL, suppressed)
    if suppressed:
        assert found.as_json["notes"] == [each.plain() for each in notes]
        assert [Note.restore(each) for each in found.as_json["notes"]] == notes


def test_a_covered_review_rule_lets_the_next_one_speak():
    """What a note covers says nothing, and whoever comes after it decides; the hit stays recorded."""
    rules = ruleset(always("abroad", "review", priority=1), always("other", "step_up", priority=2))
    found = ruled(rules, said(), [note("abroad")])
    assert (found.decision, found.acted, found.suppressed) == (STEP_UP, "other", ("abroad",))
    assert [each.name for each in found.hits.rules] == ["abroad", "other"]
    found = ruled(ruleset(always("abroad", "review")), said(REVIEW, PLACE), [note("abroad")])
    assert (found.decision, found.decided_by) == (REVIEW, DecidedBy.MODEL)
    found = ruled(ruleset(always("abroad", "review")), None, [note("abroad")])
    assert (found.decision, found.decided_by) == (APPROVE, DecidedBy.FALLBACK)


@pytest.mark.parametrize("action", ["block", "step_up"])
def test_a_note_never_touches_a_block_a_step_up_or_a_list(action):
    """Not even a note that covers everything."""
    assert ruled(ruleset(always("a_rule", action)), said(), [note()]).decision == action
    for name, decision in (("deny", BLOCK), ("watch", REVIEW)):
        assert ruled(ruleset(lists=[entry(list=name)]), said(), [note()]).decision is decision


def test_a_lifted_rule_blocks_that_card_no_more():
    """It says nothing and the next one speaks; other rules, a step-up of its name and a deny list stand."""
    lifted = note("a_rule", kind=NoteKind.LIFTED)
    rules = ruleset(always("a_rule", "block", priority=1), always("other", "step_up", priority=2))
    found = ruled(rules, said(), [lifted])
    assert (found.decision, found.acted, found.suppressed) == (STEP_UP, "other", ("a_rule",))
    assert found.as_json["notes"] == [lifted.plain()]
    assert ruled(rules, said(), [note("other", kind=NoteKind.LIFTED)]).decision is BLOCK
    assert ruled(ruleset(always("a_rule", "step_up")), said(), [lifted]).decision is STEP_UP
    assert ruled(ruleset(always("a_rule", "block"), lists=[entry()]), said(), [lifted]).acted == "deny_list"
    assert ruled(ruleset(always("a_rule", "review")), said(), [lifted]).decision is REVIEW
    assert ruled(rules, said(), [lifted], now_us=lifted.until_us).decision is BLOCK
    assert ruled(None, said(REVIEW, PLACE), [note("place", kind=NoteKind.LIFTED)]).decision is REVIEW


def test_a_note_says_who_and_why():
    """Author and reason stand in the record; a note of before they did is read as well."""
    signed = Note(NoteKind.LIFTED, NOW_US, frozenset({"a_rule"}), "j.doe", "the holder called")
    assert Note.restore(signed.plain()) == signed
    old = {"kind": "travel", "until_us": 1, "codes": None}
    assert Note.restore(old).plain() == old


CONTROL = {"share": 0.2, "seed": "s", "most": 10}
"""Every amount of these payments and of their day before is 5.00."""


def test_the_control_share_passes_and_says_so():
    """About the share of cards passes though a rule blocks, for a day however often they ask; deny lists block all."""
    rules = ruleset(always("a_rule", "block"), control=CONTROL)
    paid = [payment(card_id=f"{n:064x}") for n in range(2_000)]
    found = [ruled(rules, said(), paid=each) for each in paid]
    control = [each for each in found if each.decided_by is DecidedBy.CONTROL]
    assert 300 < len(control) < 500
    assert {each.decision for each in control} == {APPROVE}
    assert {each.acted for each in found} == {"a_rule"}
    assert {each.decision for each in found if each not in control} == {BLOCK}
    assert [ruled(rules, said(), paid=each | {"transaction_id": "again"}) for each in paid] == found
    for other, moved in (({"seed": "other"}, 0), ({}, DAY_US)):
        drawn = ruleset(always("a_rule", "block"), control=CONTROL | other)
        again = [ruled(drawn, said(), paid=each | {"event_time": NOW_US + moved}) for each in paid]
        assert [each.decided_by for each in again] != [each.decided_by for each in found]
    denied = ruleset(lists=[entry()], control={"share": 0.99})
    assert ruled(denied, said()).decision is BLOCK


@pytest.mark.parametrize(
    ("rule_says", "control", "model"),
    [
        ({"control": False}, {}, APPROVE),
        ({}, {"most": 9.99}, APPROVE),
        ({}, {}, REVIEW),
        ({}, {"share": 0.0}, APPROVE),
    ],
)
def test_what_the_control_share_never_lets_pass(rule_says, control, model):
    """Rules that are marked, more money than agreed, what the model would stop too; and nothing without a share."""
    passes = ruleset(always("a_rule", "block"), control=CONTROL | {"share": 0.999})
    assert ruled(passes, said()).decided_by is DecidedBy.CONTROL
    blocks = ruleset(always("a_rule", "block", **rule_says), control=CONTROL | {"share": 0.999} | control)
    assert ruled(blocks, said(model)).decision is BLOCK


def test_an_unknown_amount_is_never_in_the_control_share():
    """Without a rate or a window nobody knows what passing would cost."""
    control = ruleset(control=CONTROL | {"share": 0.999}).contents.control
    for unknown in ("amount", "amount_sum_24hr"):
        found = FeatureVector(values(**{unknown: math.nan}), NONE, NONE, NONE)
        assert not is_in_control(control, payment(), found)


def test_a_rule_that_fails_is_recorded():
    """A division by zero stands in the record, and the decision is the model's."""
    paid = payment(utc_offset_min=0)
    found = ruled(ruleset(rule_files.rule(condition="1 / utc_offset_min > 1", action="block")), said(), paid=paid)
    assert (found.decision, found.as_json["failed"]) == (APPROVE, ("a_rule",))
