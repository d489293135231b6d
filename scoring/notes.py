"""A note on a card: for a while, alerts for reasons that it covers are not raised, or rules do not block it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from errors import InputError
from scoring.reasons import CODES, Reason


class NoteKind(StrEnum):
    """Why a note was made: the holder travels, an alert was found genuine, or a rule's block was lifted."""

    TRAVEL = "travel"
    CLEARED = "cleared"
    LIFTED = "lifted"


@dataclass(frozen=True)
class Note:
    """One note; in force before `until_us` (UTC). `codes` of reasons, or names of rules, that it covers; None: all.

    One that lifts covers the blocks of the rules it names, and nothing else; any other covers alerts, and no block.
    """

    kind: NoteKind
    until_us: int
    codes: frozenset[str] | None = None
    author: str = ""
    reason: str = ""

    def covers(self, code: str) -> bool:
        """Whether alerts for this reason are not to be raised."""
        return self.kind is not NoteKind.LIFTED and (self.codes is None or code in self.codes)

    def lifts(self, rule: str) -> bool:
        """Whether this rule is not to block."""
        return self.kind is NoteKind.LIFTED and self.codes is not None and rule in self.codes

    def plain(self) -> dict[str, Any]:
        """Return the note as JSON takes it."""
        codes = None if self.codes is None else sorted(self.codes)
        signed = {"by": self.author, "reason": self.reason} if self.author else {}
        return {"kind": self.kind, "until_us": self.until_us, "codes": codes, **signed}

    @classmethod
    def restore(cls, plain: dict[str, Any]) -> Self:
        """Return a note of its plain form, unsigned ones of old too; InputError if it is none."""
        try:
            codes = plain["codes"]
            kind, until_us = NoteKind(plain["kind"]), int(plain["until_us"])
            signed = str(plain.get("by", "")), str(plain.get("reason", ""))
            return cls(kind, until_us, None if codes is None else frozenset(codes), *signed)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a note: {error!r}") from error


def live(notes: Iterable[Note], now_us: int) -> tuple[Note, ...]:
    """Return the notes that are in force at `now_us`."""
    return tuple(note for note in notes if now_us < note.until_us)


def covered(notes: Sequence[Note], reasons: Iterable[Reason]) -> list[Reason]:
    """Return the reasons that some note covers."""
    return [reason for reason in reasons if any(note.covers(reason.code) for note in notes)]


GROUPS = tuple(CODES)
"""Codes of the model's reasons, which a note may name; a rule is named by its own name."""
