"""The one decision that model, lists, rules and notes come to, in an order that is always the same.

Deny list (block), allow list (approve), rules by priority (at the same the stricter), watch list (review), the model,
and without one the fallback (approve): the first that says something decides. A note makes what would be an alert for
reasons it covers say nothing; one that lifts a rule makes its block say nothing; no note touches a step-up or a list.
Shadow rules are recorded and never act. Of a share of the cards, chosen by day and by a keyed hash, small payments that
rules would block pass, unless the model would stop them too, to measure what blocking is worth.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log
from typing import Any, NamedTuple

import orjson

from features import DAY_US, NAMES, FeatureVector
from scoring.decision import Decision, Scored
from scoring.notes import Note, NoteKind, covered, live
from scoring.reasons import Reason
from scoring.rules.contents import ALLOWED, DENIED, WATCHED, Control, Entry, ListName, Rule
from scoring.rules.ruleset import NOTHING, Hits, RuleSet

LISTS = {
    ListName.DENY: (DENIED, Decision.BLOCK),
    ListName.ALLOW: (ALLOWED, Decision.APPROVE),
    ListName.WATCH: (WATCHED, Decision.REVIEW),
}

NONE = Control()
AMOUNT, AMOUNT_24HR = NAMES.index("amount"), NAMES.index("amount_sum_24hr")


class DecidedBy(StrEnum):
    """Who decided; lists count as rules."""

    RULE = "rule"
    MODEL = "model"
    FALLBACK = "fallback"
    CONTROL = "control"


class Ruling(NamedTuple):
    """A decision, who made it, its reasons (those of rules and lists first), and all that rules and notes said.

    `acted`: the rule's name or the list's code; `suppressed`: codes of reasons for which `notes` kept an alert back.
    """

    decision: Decision
    decided_by: DecidedBy
    reasons: tuple[Reason, ...]
    acted: str | None = None
    hits: Hits = NOTHING
    suppressed: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def as_json(self) -> dict[str, Any] | None:
        """Return what the record keeps of rules, lists and notes; None when they had nothing to say."""
        if self.hits is NOTHING and not self.suppressed:
            return None
        return {
            "acted": self.acted,
            "hits": [{"name": r.name, "action": r.action, "shadow": r.shadow} for r in self.hits.rules],
            "lists": [{"list": e.list, "by": e.by, "reason": e.reason} for e in self.hits.entries],
            "failed": self.hits.failed,
            "suppressed": self.suppressed,
            "notes": [note.plain() for note in self.notes],
        }

    @property
    def text(self) -> str | None:
        """Return the same as JSON text."""
        found = self.as_json
        return None if found is None else orjson.dumps(found).decode()


@dataclass(frozen=True)
class _Proposal:
    """One that says something: what, why, and the rule that it is; None for a list."""

    decision: Decision
    reason: Reason
    rule: Rule | None = None


def rule(
    ruleset: RuleSet | None,
    payment: Mapping[str, Any],
    vector: FeatureVector,
    scored: Scored | None,
    *,
    threshold: float,
    notes: Sequence[Note],
    now_us: int,
) -> Ruling:
    """Return the decision on a payment at `now_us`. `scored` is the model's word (None: there is no model).

    `threshold`: the probability at which the model says review. The same arguments give the same ruling.
    """
    hits = ruleset.evaluate(payment, vector.values, now_us) if ruleset else NOTHING
    known = live(notes, now_us) if notes else ()
    if hits is NOTHING and (not known or scored is None):
        return _by_model(scored)
    control = ruleset.contents.control if ruleset else NONE
    is_control = bool(control.share) and is_in_control(control, payment, vector)
    return _combine(hits, scored, threshold, known, is_control=is_control)


def _by_model(scored: Scored | None) -> Ruling:
    if scored is None:
        return Ruling(Decision.APPROVE, DecidedBy.FALLBACK, ())
    return Ruling(scored.decision, DecidedBy.MODEL, tuple(scored.reasons))


def _combine(
    hits: Hits, scored: Scored | None, threshold: float, notes: tuple[Note, ...], *, is_control: bool
) -> Ruling:
    suppressed: list[str] = []
    reasons: list[Reason] = []
    acting: _Proposal | None = None
    for proposal in _proposals(hits):
        if acting is None and _is_quiet(proposal, notes):
            suppressed.append(proposal.reason.code)
            continue
        reasons.append(proposal.reason)
        acting = acting or proposal
    decision, decided_by = Decision.APPROVE, DecidedBy.FALLBACK
    if scored is not None:
        reasons += scored.reasons
    if acting is not None:
        decision, decided_by = acting.decision, DecidedBy.RULE
        passes = acting.rule is not None and acting.rule.control and is_control
        if decision is Decision.BLOCK and passes and (scored is None or scored.decision is Decision.APPROVE):
            decision, decided_by = Decision.APPROVE, DecidedBy.CONTROL
    elif scored is not None:
        decision, decided_by = scored.decision, DecidedBy.MODEL
        if decision is Decision.REVIEW and (quiet := _silenced(scored, threshold, notes)):
            decision = Decision.APPROVE
            suppressed += quiet
    acted = acting.reason.code if acting else None
    return Ruling(decision, decided_by, tuple(reasons), acted, hits, tuple(suppressed), notes if suppressed else ())


def _is_quiet(proposal: _Proposal, notes: Sequence[Note]) -> bool:
    """Whether notes make a rule say nothing: its alert is covered, or its block lifted."""
    if proposal.rule is None or not notes:
        return False
    if proposal.decision is Decision.BLOCK:
        return any(note.lifts(proposal.rule.name) for note in notes)
    return proposal.decision is Decision.REVIEW and bool(covered(notes, [proposal.reason]))


def _proposals(hits: Hits) -> Iterator[_Proposal]:
    """Yield whoever says something, first the one that counts most."""
    by_list = {each: [entry for entry in hits.entries if entry.list is each] for each in ListName}
    for each in (ListName.DENY, ListName.ALLOW):
        yield from map(_listed, by_list[each])
    for one in hits.rules:
        if not one.shadow:
            yield _Proposal(one.action, Reason(one.name, one.sentence, None), one)
    yield from map(_listed, by_list[ListName.WATCH])


def _listed(entry: Entry) -> _Proposal:
    code, decision = LISTS[entry.list]
    text = f"the {entry.by} is on the {entry.list} list: {entry.reason}"
    return _Proposal(decision, Reason(code, text, None))


def _silenced(scored: Scored, threshold: float, notes: Sequence[Note]) -> list[str]:
    """Return the reasons that notes cover, if without their pushes the model would not have said review."""
    quiet = covered(notes, scored.reasons)
    if any(note.codes is None and note.kind is not NoteKind.LIFTED for note in notes):
        return [reason.code for reason in quiet] or ["model"]
    left = scored.margin - sum(reason.weight or 0.0 for reason in quiet)
    return [reason.code for reason in quiet] if quiet and left < log(threshold / (1 - threshold)) else []


def is_in_control(control: Control, payment: Mapping[str, Any], vector: FeatureVector) -> bool:
    """Whether a payment belongs to the control share, were it blocked by a rule: its card is drawn for its day (UTC).

    To ask again changes nothing, then, and what a card can get is bounded: by what it paid in 24 hours and this
    payment, together at most `control.most`; where either is unknown it does not belong to the share.
    """
    amount, before = vector.values[AMOUNT], vector.values[AMOUNT_24HR]
    if not amount + before <= control.most:
        return False
    drawn_for = f"{payment['card_id']}\x1f{payment['event_time'] // DAY_US}".encode()
    key = hashlib.blake2b(control.seed.encode()).digest()
    drawn = hashlib.blake2b(drawn_for, digest_size=8, key=key).digest()
    return int.from_bytes(drawn, "big") / 2**64 < control.share
