"""A note on a card: for a while, alerts for reasons that it covers are not raised, since a person knows better."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from errors import InputError
from scoring.reasons import CODES, Reason


class NoteKind(StrEnum):
    """Why a note was made: the holder travels, or an alert on the card was found genuine."""

    TRAVEL = "travel"
    CLEARED = "cleared"


@dataclass(frozen=True)
class Note:
    """One note; in force before `until_us` (UTC). `codes` of reasons, or names of rules, that it covers; None: all."""

    kind: NoteKind
    until_us: int
    codes: frozenset[str] | None = None

    def covers(self, code: str) -> bool:
        """Whether alerts for this reason are not to be raised."""
        return self.codes is None or code in self.codes

    def plain(self) -> dict[str, Any]:
        """Return the note as JSON takes it."""
        codes = None if self.codes is None else sorted(self.codes)
        return {"kind": self.kind, "until_us": self.until_us, "codes": codes}

    @classmethod
    def restore(cls, plain: dict[str, Any]) -> Self:
        """Return a note of its plain form; InputError if it is none."""
        try:
            codes = plain["codes"]
            return cls(NoteKind(plain["kind"]), int(plain["until_us"]), None if codes is None else frozenset(codes))
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
