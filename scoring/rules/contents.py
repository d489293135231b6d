"""What people write: rules, the control share and entries of lists, each typed, with nothing unknown let through."""

import re
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from errors import InputError
from scoring.decision import Decision
from scoring.reasons import CODES

NAME = "^[a-z][a-z0-9_]{0,63}$"
LONGEST = 2_000
"""Characters of a condition; a longer one belongs into several rules, or into a feature."""
WATCHED = "watch_list"
DENIED = "deny_list"
ALLOWED = "allow_list"
TAKEN = frozenset({*CODES, WATCHED, DENIED, ALLOWED})
"""Codes of reasons that are not rules."""


def _moment(value: Any) -> Any:
    """Take a plain date for its first moment, UTC."""
    if isinstance(value, str) and len(value) == len("2026-01-01"):
        with suppress(ValueError):  # then it is refused as a moment
            value = date.fromisoformat(value)
    return datetime.combine(value, time(), UTC) if type(value) is date else value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class Rule(_Strict):
    """One rule. The lowest priority acts; from `from` on and before `until`; a shadow one is recorded, never acts.

    `control: false`: the control share lets nothing pass that this rule blocks.
    """

    name: str = Field(pattern=NAME)
    condition: str = Field(min_length=1, max_length=LONGEST)
    action: Decision
    priority: int = Field(ge=0, le=1_000_000)
    owner: str = Field(min_length=1)
    starts: Moment | None = Field(default=None, alias="from")
    until: Moment | None = None
    shadow: bool = False
    control: bool = True
    sentence: str = Field(min_length=1, max_length=300)

    @model_validator(mode="after")
    def is_ever_in_force(self) -> Self:
        """Refuse a rule whose time ends before it begins, or whose name would be taken for another reason."""
        if self.starts and self.until and self.until <= self.starts:
            raise ValueError(f"until {self.until} is not after from {self.starts}")
        if self.name in TAKEN:
            raise ValueError(f"{self.name} is the code of another reason; choose another name")
        return self


class By(StrEnum):
    """What a list's entry names."""

    CARD = "card"
    ACCOUNT = "account"
    ACCEPTOR = "acceptor"
    DEVICE = "device"


class ListName(StrEnum):
    """The lists: deny blocks, allow approves, watch has a person look."""

    DENY = "deny"
    ALLOW = "allow"
    WATCH = "watch"


class Entry(_Strict):
    """One entry of a list: whom it names (an acceptor as `source:merchant_id`), why, until when, and by whom."""

    list: ListName
    by: By
    value: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=300)
    until: Moment
    author: str = Field(default="", max_length=100)

    @model_validator(mode="after")
    def is_keyed(self) -> Self:
        """Refuse a card, account or device that is not its keyed hash: a card number never stands in a file."""
        if self.by is not By.ACCEPTOR and not re.fullmatch("[0-9a-f]{64}", self.value):
            raise ValueError(f"a {self.by} is named by its keyed hash, 64 hex digits")
        return self


class Control(_Strict):
    """The share of cards whose payments pass for a day though rules would block them, to measure blocking.

    `seed` chooses which cards; `most`: what a card may pay in 24 hours with this payment, in the reporting currency.
    """

    share: float = Field(default=0.0, ge=0, lt=1)
    seed: str = ""
    most: float = Field(default=100.0, gt=0)


class Contents(_Strict):
    """Everything that a version of the rules says; `lists` only in versions of old, which had them."""

    format: Literal[1] = 1
    rules: tuple[Rule, ...]
    lists: tuple[Entry, ...] = ()
    control: Control = Control()

    @model_validator(mode="after")
    def names_each_once(self) -> Self:
        """Refuse two rules of one name."""
        most, times = max(Counter(rule.name for rule in self.rules).items(), key=lambda pair: pair[1], default=("", 0))
        if times > 1:
            raise ValueError(f"the rule {most} stands there {times} times")
        return self


def parse(rules: str) -> Contents:
    """Return what a file of rules says; InputError names the first thing wrong."""
    found = _mapping(rules, "rules")
    if "lists" in found:
        raise InputError("rules: `lists` does not belong there; `python -m serving lists import` takes them")
    return check(found)


def check(said: object) -> Contents:
    """Return contents of their plain form; InputError names the first thing wrong."""
    try:
        return Contents.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InputError(f"rules: {_place(first['loc'], said)}: {first['msg']}") from None


class _Once(yaml.SafeLoader):
    """YAML without the same key twice: of two actions, which one was meant?"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _mapping(text: str, what: str) -> dict[str, Any]:
    try:
        said = yaml.load(text, _Once)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{what}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict) or what not in said:
        raise InputError(f"{what}: the file has no `{what}:`; is it whole?")
    return said


def _place(location: tuple[int | str, ...], said: object) -> str:
    """Name where something is wrong: a rule by its name."""
    named, here = [], said
    for each in location:
        try:
            here = here[each]  # type: ignore[index]  # whatever stands there, it is only named
        except (KeyError, IndexError, TypeError):
            here = None
        name = here.get("name") if isinstance(here, dict) else None
        named.append(f"{each} ({name})" if isinstance(name, str) else str(each))
    return " ".join(named) or "the file"
