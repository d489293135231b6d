"""The same conditions over columns: each rule's tree as a polars expression that holds for the very same rows."""

import operator
from collections.abc import Callable, Sequence

import polars as pl
import pyarrow.compute as pc

from errors import InputError
from scoring.rules import language
from scoring.rules.language import ARITHMETIC, NOT, Call, Kind, Known, Name, Node, Value
from scoring.rules.ruleset import RuleSet

OPERATORS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "&&": operator.and_,
    "||": operator.or_,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


def evaluate(ruleset: RuleSet, frame: pl.DataFrame) -> pl.DataFrame:
    """Return one boolean column a rule, named as the rule, in the order in which rules act; one row a payment.

    `frame` has the payment's fields and the features as columns, at least those that conditions name: numbers of any
    type (NaN, infinite and null are missing), `event_time` in microseconds or as a date and time, text. Features as
    float64, as the record's `features` has them: a float32 of 249.90 is less than 249.9. Dates of rules, lists and
    shadow are left to the caller. InputError names a column that is not there.
    """
    needed: frozenset[str] = frozenset().union(
        *(language.used(each.node) | language.asked(each.node) for each in ruleset.compiled)
    )
    if missing := needed - set(frame.columns):
        raise InputError(f"rules: the rows lack the columns {', '.join(sorted(missing))}")
    base = [_column(name, frame.schema[name]).alias(name) for name in sorted(needed)]
    marked = {each.rule.name: to_polars(each.node).fill_null(value=False) for each in ruleset.compiled}
    # A name of a rule may be that of a column: conditions are computed together, and see the columns.
    found = frame.lazy().with_columns(base).with_columns(**marked).select(list(marked))
    return found.collect()


def to_polars(node: Node) -> pl.Expr:
    """Return a condition over prepared columns (float64 or text, null where there is no value); null is unknown."""
    match node:
        case Name(name):
            return pl.col(name)
        case Known(name):
            return pl.col(name).is_not_null()
        case Value(value):
            return pl.lit(value)
    if node.operator == language.IN:
        among = [each.value for each in node.operands[1:] if isinstance(each, Value)]
        return to_polars(node.operands[0]).is_in(among)
    parts = [to_polars(each) for each in node.operands]
    if node.operator == NOT:
        return ~parts[0]
    if node.operator == language.NEGATE:
        return -parts[0]
    if node.operator == "/":
        quotient = parts[0] / parts[1]
        if not language.used(node.operands[1]):
            quotient = pl.map_batches(parts, _by_a_constant, return_dtype=pl.Float64)
        return pl.when(parts[1] != 0).then(quotient)
    found = OPERATORS[node.operator](*parts)
    # To polars NaN equals itself and is the largest number; to IEEE 754, and so to CEL, it is neither.
    if node.operator not in {*language.ORDER.values(), *language.EQUALITY.values()}:
        return found
    for part, each in zip(parts, node.operands, strict=True):
        if isinstance(each, Call) and each.operator in {*ARITHMETIC.values(), language.NEGATE}:
            found = pl.when(part.is_nan() & found.is_not_null()).then(node.operator == "!=").otherwise(found)
    return found


def _by_a_constant(parts: Sequence[pl.Series]) -> pl.Series:
    """Divide by a constant as IEEE 754 does; polars would multiply with its inverse, which is another number."""
    dividend, divisor = parts
    return pl.Series(pc.divide(dividend.to_arrow(), divisor.item(0)))


def _column(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if language.names()[name] is Kind.TEXT:
        return column.cast(pl.String)
    if isinstance(kind, pl.Datetime):
        column = column.dt.epoch("us")
    number = column.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)
