"""A version of the rules, ready to be asked: compiled once, then evaluated for one payment at a time."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from math import inf, isfinite
from typing import Any

from cel_expr_python import cel

import features
from errors import InputError
from scoring.decision import Decision
from scoring.rules import language
from scoring.rules.contents import Contents, Entry, Rule, check, parse
from scoring.rules.language import Kind, Node

STRICTEST = (Decision.BLOCK, Decision.STEP_UP, Decision.REVIEW, Decision.APPROVE)
TYPES = {Kind.NUMBER: cel.Type.DOUBLE, Kind.TEXT: cel.Type.STRING}


@dataclass(frozen=True)
class Compiled:
    """A rule with its tree, the names it needs, and its compiled form; in force in [starts, until), UTC us.

    `guards`: names without any of which it cannot hold, so that a missing one need not be asked about rule by rule.
    """

    rule: Rule
    node: Node
    needs: frozenset[str]
    guards: frozenset[str]
    expression: cel.Expression
    starts_us: float
    until_us: float


@dataclass(frozen=True)
class Several:
    """Rules that are asked at once first: `any` is false only if none of them holds or fails."""

    rules: tuple[Compiled, ...]
    any: cel.Expression | None


TOGETHER = 16


@dataclass(frozen=True)
class Hits:
    """What the rules and lists say of a payment.

    `rules` in the order in which they act, shadow ones among them; `failed`: names of rules that could not be
    evaluated although they had every value they need, and so did not match.
    """

    rules: tuple[Rule, ...] = ()
    entries: tuple[Entry, ...] = ()
    failed: tuple[str, ...] = ()


NOTHING = Hits()
Listed = Callable[[Mapping[str, Any], int], tuple[Entry, ...]]
"""From a payment and a moment (UTC us) to the entries in force that name it, those of the stronger list first."""


@dataclass(frozen=True)
class RuleSet:
    """A version of the rules. Made by `read` or `restore`; frozen, so that a decision is made under one version.

    `listed`: what finds a payment's entries on lists, which change by the minute and are no part of the version.
    """

    contents: Contents
    compiled: tuple[Compiled, ...] = field(repr=False)
    asked_together: tuple[Several, ...] = field(repr=False)
    environment: Any = field(repr=False)
    listed: Listed | None = field(default=None, repr=False)

    @cached_property
    def canonical(self) -> bytes:
        """The one form of these contents, from which `restore` makes them again."""
        said = self.contents.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def version(self) -> str:
        """SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical).hexdigest()

    @classmethod
    def read(cls, rules: str) -> "RuleSet":
        """Return the rules of a file; InputError says what is wrong with them."""
        return compiled(parse(rules))

    @classmethod
    def restore(cls, canonical: bytes) -> "RuleSet":
        """Return the rules of a canonical form; InputError if it is not one that this program reads."""
        try:
            return compiled(check(json.loads(canonical)))
        except ValueError as error:
            raise InputError(f"rules: not the canonical form: {error}") from error

    def evaluate(self, payment: Mapping[str, Any], values: Sequence[float], now_us: int) -> Hits:
        """Return what holds of a payment with the features `values` (order of features.NAMES) at `now_us`.

        Never raises: what cannot be evaluated does not match, and is named.
        """
        entries = self.listed(payment, now_us) if self.listed else ()
        if not self.compiled:
            return Hits(entries=entries) if entries else NOTHING
        data: dict[str, Any] = {}
        for name in self._fields:
            value = payment.get(name)
            if value is not None:
                data[name] = value
        for name in self._amounts:
            if name in data:
                data[name] = float(data[name])
                if not isfinite(data[name]):
                    del data[name]
        for name, place in self._features:
            value = values[place]
            if isfinite(value):
                data[name] = value
        have = data.keys()
        for name in self._asked:
            data[language.variable(name)] = name in have
        matched: list[Rule] = []
        failed: list[str] = []
        try:
            activation = self.environment.Activation(data)
        except Exception:  # whatever the library cannot take; no decision may break on a rule
            return Hits(entries=entries, failed=tuple(each.rule.name for each in self.compiled))
        for some in self.asked_together:
            if some.any is not None and _ask(some.any, activation) is False:
                continue
            for each in some.rules:
                if not each.starts_us <= now_us < each.until_us:
                    continue
                found = _ask(each.expression, activation)
                if found is True:
                    matched.append(each.rule)
                elif found is not False and each.needs <= have:
                    failed.append(each.rule.name)
        if not (matched or entries or failed):
            return NOTHING
        return Hits(tuple(matched), entries, tuple(failed))

    @cached_property
    def _names(self) -> frozenset[str]:
        """Names that some rule needs or asks for."""
        each = (language.used(one.node) | language.asked(one.node) for one in self.compiled)
        return frozenset().union(*each)

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        return tuple(sorted(self._names & language.fields().keys()))

    @cached_property
    def _amounts(self) -> tuple[str, ...]:
        return tuple(name for name in self._fields if language.fields()[name] is Kind.NUMBER)

    @cached_property
    def _features(self) -> tuple[tuple[str, int], ...]:
        return tuple((name, place) for place, name in enumerate(features.NAMES) if name in self._names)

    @cached_property
    def _asked(self) -> tuple[str, ...]:
        return tuple(sorted(frozenset().union(*(language.asked(one.node) | one.guards for one in self.compiled))))


def compiled(contents: Contents) -> RuleSet:
    """Return contents with their conditions compiled, names and types checked; InputError names the rule."""
    variables = {name: TYPES[kind] for name, kind in language.names().items()}
    asked = {language.variable(name): cel.Type.BOOL for name in language.names()}
    environment = cel.NewEnv(variables=variables | asked)
    made = []
    for rule in contents.rules:
        try:
            node = language.read(rule.condition)
            expression = environment.compile(language.to_cel(node))
        except (InputError, RuntimeError) as error:
            raise InputError(f"rule {rule.name}: {error}") from error
        times = _us(rule.starts, -inf), _us(rule.until, inf)
        needs = language.used(node)
        guards = needs if language.needs_all(node) else frozenset[str]()
        made.append(Compiled(rule, node, needs, guards, expression, *times))
    made.sort(key=lambda each: (each.rule.priority, STRICTEST.index(each.rule.action), each.rule.name))
    groups = [tuple(made[start : start + TOGETHER]) for start in range(0, len(made), TOGETHER)]
    together = tuple(Several(each, _any(environment, each)) for each in groups)
    return RuleSet(contents, tuple(made), together, environment)


def _any(environment: Any, rules: Sequence[Compiled]) -> cel.Expression | None:
    """Return the rules joined by `||`, which most payments answer by false; None if that is too long for CEL."""
    parts = [
        " && ".join([*map(language.variable, sorted(each.guards)), f"({language.to_cel(each.node)})"]) for each in rules
    ]
    try:
        return environment.compile(" || ".join(f"({part})" for part in parts))
    except RuntimeError:
        return None


def _ask(expression: cel.Expression, activation: object) -> object:
    """Return what an expression gives: a truth value, or an error, also one that the library raises."""
    try:
        return expression.eval(activation).value()
    except Exception as error:  # no decision may break on a rule
        return error


def _us(moment: datetime | None, otherwise: float) -> float:
    return otherwise if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6
