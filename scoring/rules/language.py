"""The language of conditions: a part of CEL, read into a small tree that rows and columns are evaluated from alike.

There are numbers (float64), text and truth values; names are the payment's fields and the features. A name without a
value (null, NaN, infinite) makes what is computed from it unknown, as in SQL: `false && unknown` is false, `true ||
unknown` is true, everything else is unknown, and a condition that is unknown does not hold. `known(name)` asks;
`unpriced` is `!known(amount)`: there is no exchange rate. To divide by zero is unknown too.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from cel_expr_python import cel

import features
from contracts import schemas
from contracts.cleaning import symbols
from errors import InputError
from scoring.rules.syntax import unpack

LARGEST_WHOLE = 2**53
"""Above it a whole number is not exact as float64."""


class Kind(StrEnum):
    """What an expression gives."""

    NUMBER = "a number"
    TEXT = "text"
    TRUTH = "true or false"


@dataclass(frozen=True)
class Name:
    """A payment's field or a feature."""

    name: str


@dataclass(frozen=True)
class Known:
    """Whether a payment's field or a feature has a value."""

    name: str


@dataclass(frozen=True)
class Value:
    """A number, text or truth value as written."""

    value: float | str | bool


@dataclass(frozen=True)
class Call:
    """An operator with its operands; of `in`, the first is looked for among the others, which are values."""

    operator: str
    operands: tuple["Node", ...]


Node = Name | Known | Value | Call

LOGIC = {"_&&_": "&&", "_||_": "||"}
ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
EQUALITY = {"_==_": "==", "_!=_": "!="}
ARITHMETIC = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/"}
NOT, NEGATE, IN, KNOWN = "!", "negate", "in", "known"
WORDS = {features.Status.UNPRICED.value: Call(NOT, (Known("amount"),))}
"""Words that stand for a condition."""
AVRO = {"string": Kind.TEXT, "enum": Kind.TEXT, "int": Kind.NUMBER, "long": Kind.NUMBER, "double": Kind.NUMBER}


@cache
def fields() -> dict[str, Kind]:
    """Return the payment's fields that a condition may name (contracts/transaction.avsc), each with its kind."""
    return {field["name"]: AVRO[_plain(field["type"])] for field in schemas.parsed("transaction")["fields"]}


@cache
def names() -> dict[str, Kind]:
    """Return every name that a condition may use, each with its kind."""
    return fields() | dict.fromkeys(features.NAMES, Kind.NUMBER)


def read(condition: str) -> Node:
    """Return the tree of a condition; InputError says what is wrong with it, and never runs any of it."""
    try:
        node = _node(unpack(cel.NewEnv().compile(condition, disable_check=True).serialize()))
        found = kind(node)
    except RuntimeError as error:  # the library's own for whatever is no CEL
        raise InputError(f"condition {condition!r}: {_first_line(error)}") from error
    except InputError as error:
        raise InputError(f"condition {condition!r}: {error}") from None
    if found is not Kind.TRUTH:
        raise InputError(f"condition {condition!r}: it gives {found}, not true or false")
    return node


def used(node: Node) -> frozenset[str]:
    """Return the names whose values a condition needs; those only asked for by `known` are not among them."""
    if isinstance(node, Call):
        return frozenset().union(*map(used, node.operands))
    return frozenset({node.name}) if isinstance(node, Name) else frozenset()


def asked(node: Node) -> frozenset[str]:
    """Return the names of which a condition asks whether they have a value."""
    if isinstance(node, Call):
        return frozenset().union(*map(asked, node.operands))
    return frozenset({node.name}) if isinstance(node, Known) else frozenset()


def needs_all(node: Node) -> bool:
    """Whether a condition can hold only if every name it uses has a value: comparisons, joined by nothing but `&&`."""
    if isinstance(node, Call) and node.operator == "&&":
        return all(map(needs_all, node.operands))
    return not _has_logic(node)


def kind(node: Node) -> Kind:
    """Return what an expression gives; InputError where an operator gets what it does not take."""
    match node:
        case Name(name):
            return names()[name]
        case Known():
            return Kind.TRUTH
        case Value(value):
            return Kind.TRUTH if isinstance(value, bool) else Kind.TEXT if isinstance(value, str) else Kind.NUMBER
    kinds = [kind(each) for each in node.operands]
    if node.operator in {*LOGIC.values(), NOT}:
        return _all(node.operator, kinds, Kind.TRUTH, Kind.TRUTH)
    if node.operator in {*ARITHMETIC.values(), NEGATE}:
        return _all(node.operator, kinds, Kind.NUMBER, Kind.NUMBER)
    if node.operator in ORDER.values():
        return _all(node.operator, kinds, Kind.NUMBER, Kind.TRUTH)
    _check_symbols(node)
    return _all(node.operator, kinds, kinds[0], Kind.TRUTH)


def variable(name: str) -> str:
    """Return the variable that says whether `name` has a value, since CEL has no such test of a variable."""
    return f"known_{name}"


def to_cel(node: Node) -> str:
    """Return the expression as CEL that its checker takes: numbers with a point, no division by zero."""
    match node:
        case Name(name):
            return name
        case Known(name):
            return variable(name)
        case Value(value):
            return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    parts = [to_cel(each) for each in node.operands]
    if node.operator == NOT:
        return f"!({parts[0]})"
    if node.operator == NEGATE:
        return f"-({parts[0]})"
    if node.operator == IN:
        return f"({parts[0]}) in [{', '.join(parts[1:])}]"
    if node.operator == "/":  # of whole numbers it is an error, as it should be of all
        parts[1] = f"(({parts[1]}) == 0.0 ? double(1 / 0) : ({parts[1]}))"
    return f"({parts[0]}) {node.operator} ({parts[1]})"


def _has_logic(node: Node) -> bool:
    """Whether && || or ! stands anywhere in it: these alone can give something of what is unknown."""
    if not isinstance(node, Call):
        return False
    return node.operator in {*LOGIC.values(), NOT} or any(map(_has_logic, node.operands))


def _node(parsed: Any) -> Node:
    what = parsed.WhichOneof("expr_kind")
    if what == "const_expr":
        return _value(parsed.const_expr)
    if what == "ident_expr":
        if word := WORDS.get(parsed.ident_expr.name):
            return word
        return Name(_name(parsed.ident_expr.name))
    if what != "call_expr":
        raise InputError("only comparison, arithmetic, && || !, `in [...]` and known(name) are part of the language")
    call = parsed.call_expr
    if call.HasField("target"):
        raise InputError(f"{call.function} cannot be called on a value here")
    if call.function == KNOWN:
        if len(call.args) != 1 or call.args[0].WhichOneof("expr_kind") != "ident_expr":
            raise InputError("known takes one name")
        return Known(_name(call.args[0].ident_expr.name))
    if call.function == "@in":
        sought, among = call.args
        if among.WhichOneof("expr_kind") != "list_expr" or not among.list_expr.elements:
            raise InputError("after `in` a list of values is needed, as in [1, 2]")
        values = tuple(_node(each) for each in among.list_expr.elements)
        if not all(isinstance(each, Value) for each in values):
            raise InputError("in a list only values may stand")
        return Call(IN, (_node(sought), *values))
    operands = tuple(_node(each) for each in call.args)
    if call.function == "-_":
        return Call(NEGATE, operands)
    if call.function == "!_":
        return Call(NOT, operands)
    operator = (LOGIC | ORDER | EQUALITY | ARITHMETIC).get(call.function)
    if operator is None:
        raise InputError(f"{call.function.strip('_')} is not part of the language")
    return Call(operator, operands)


def _value(constant: Any) -> Value:
    what = constant.WhichOneof("constant_kind")
    if what == "int64_value":
        if abs(constant.int64_value) > LARGEST_WHOLE:
            raise InputError(f"{constant.int64_value} is too large to be exact")
        return Value(float(constant.int64_value))
    if what == "double_value" and math.isfinite(constant.double_value):
        return Value(float(constant.double_value))
    if what in {"string_value", "bool_value"}:
        return Value(getattr(constant, what))
    raise InputError("a value is a number, text in quotes, true or false")


def _name(name: str) -> str:
    if name not in names():
        raise InputError(f"{name} is neither a field of a payment nor a feature")
    return name


def _all(operator: str, kinds: list[Kind], wanted: Kind, given: Kind) -> Kind:
    wrong = next((each for each in kinds if each is not wanted), None)
    if wrong:
        raise InputError(f"{operator} takes {wanted} here, not {wrong}")
    return given


def _check_symbols(node: Call) -> None:
    """Refuse to compare a field of few possible values with another one: it could never hold."""
    known = symbols("transaction")
    for each in node.operands:
        if isinstance(each, Name) and each.name in known:
            said = {other.value for other in node.operands if isinstance(other, Value) and isinstance(other.value, str)}
            if unknown := said - known[each.name]:
                raise InputError(
                    f"{each.name} is never {min(unknown)!r}, but one of {', '.join(sorted(known[each.name]))}"
                )


def _plain(avro: Any) -> str:
    if isinstance(avro, list):
        avro = next(branch for branch in avro if branch != "null")
    return str(avro["type"] if isinstance(avro, dict) else avro)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].removeprefix("INVALID_ARGUMENT: ERROR: ").removesuffix(" [INVALID_ARGUMENT]")
