"""Applies a mapping to a batch, column by column: each distinct cell is converted once."""

from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from contracts import schemas
from ingestion.files import scalars
from ingestion.files.mapping import AMOUNTS, FieldMap, Mapping
from ingestion.files.reading import as_text

JOIN = "|"
ALIAS, NAME = "3ds_", "three_ds_"
"""EMV writes 3DS; an Avro name cannot begin with a digit."""
TYPES = {
    "event_time": pa.int64(),
    "amount_minor": pa.int64(),
    "billing_amount_minor": pa.int64(),
    "utc_offset_min": pa.int64(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
}
PLACE = ("latitude", "longitude")
PLAIN: dict[str, scalars.Convert] = {
    "utc_offset_min": scalars.integer,
    "latitude": scalars.floating,
    "longitude": scalars.floating,
}
Column = tuple[pa.Array, pa.Array | None]
"""Values, and for each the reason why it has none (or None if there is no such reason)."""


def constants(mapping: Mapping) -> dict[str, Any]:
    """Return the fields that are the same in every row; amounts and times are never constant in earnest."""
    found: dict[str, Any] = {"source": mapping.source}
    for name, field in mapping.fields.items():
        if field.constant is not None and name not in AMOUNTS and name != "event_time":
            text = field.constant
            found[name] = PLAIN[name](text) if name in PLAIN else _alias(name, text)
    return found


def template(mapping: Mapping) -> dict[str, Any]:
    """Return a transaction record with the constants filled in and the schema's defaults elsewhere."""
    return schemas.defaults("transaction") | constants(mapping)


def apply(table: pa.Table, mapping: Mapping) -> pa.Table:
    """Return a table of the fields that vary, of its Avro type, and `problem`: why a row cannot be mapped.

    `verdict` is there if the mapping has a label: fraud, genuine or null.
    """
    fixed = constants(mapping)
    found: dict[str, pa.Array] = {}
    problem = pa.nulls(table.num_rows, pa.string())
    for name, field in mapping.fields.items():
        if name in fixed:
            continue
        values, why = _field(table, name, field, mapping)
        default = schemas.defaults("transaction")[name]
        found[name] = values if default is None else pc.fill_null(values, default)
        if why is not None and why.null_count < len(why):
            problem = pc.coalesce(problem, pc.binary_join_element_wise(name, why, ": "))
    if mapping.label:
        fraud, genuine = set(mapping.label.fraud), set(mapping.label.genuine)
        text = as_text(table.column(mapping.label.column), mapping.label.column)
        found["verdict"] = _each(text, lambda v: "fraud" if v in fraud else "genuine" if v in genuine else None)[0]
    return pa.table({**found, "problem": problem})


def _field(table: pa.Table, name: str, field: FieldMap, mapping: Mapping) -> Column:
    if name == "event_time":
        return _time(table, field)
    if name in AMOUNTS:
        return _amount(table, name, field, mapping)
    if name in PLACE and field.column and pa.types.is_floating(table.column(field.column).type):
        numbers = table.column(field.column).cast(pa.float64())
        return _flat(pc.if_else(pc.is_nan(numbers), None, numbers)), None
    text = _text(table, field)
    if name in PLAIN:
        return _each(text, PLAIN[name], TYPES[name])
    if name == "transaction_id" and field.columns:
        # Joined after the card became its hash, then digested, so that it fits in 64 characters.
        return _each(text, lambda joined: sha256(joined.encode()).hexdigest())
    if field.values is not None:
        return _each(text, _value_map(name, field))
    return _each(text, lambda v: _alias(name, v)) if name == "authentication" else (_flat(text), None)


def _text(table: pa.Table, field: FieldMap) -> pa.ChunkedArray:
    parts = [pc.utf8_trim_whitespace(as_text(table.column(name), name)) for name in field.needs]
    text = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, JOIN)
    return pc.if_else(pc.equal(text, ""), None, text)


def _value_map(name: str, field: FieldMap) -> scalars.Convert:
    values = field.values or {}

    def convert(text: str) -> str | None:
        if text in values:
            found = values[text]
        elif field.otherwise is not None:
            found = field.otherwise
        else:
            raise ValueError(f"{text!r} is not in the mapping's values")
        return None if found is None else _alias(name, found)

    return convert


def _alias(name: str, text: str) -> str:
    return NAME + text.removeprefix(ALIAS) if name == "authentication" and text.startswith(ALIAS) else text


def _amount(table: pa.Table, name: str, field: FieldMap, mapping: Mapping) -> Column:
    currency = mapping.fields["currency" if name == "amount_minor" else "billing_currency"]
    text = _text(table, field)
    if currency.constant is not None:
        return _each(text, lambda v: scalars.minor_units(v, currency.constant, field), pa.int64())
    code = currency_column(table, currency)
    joined = pc.binary_join_element_wise(text, pc.coalesce(code, ""), "\x1f")

    def convert(pair: str) -> int:
        amount, _, of = pair.partition("\x1f")
        return scalars.minor_units(amount, of, field)

    return _each(joined, convert, pa.int64())


def currency_column(table: pa.Table, field: FieldMap) -> pa.ChunkedArray:
    """Return the currency of each row, through its value map if it has one."""
    text = _text(table, field)
    return pa.chunked_array([_each(text, _value_map("currency", field))[0]]) if field.values is not None else text


def _time(table: pa.Table, field: FieldMap) -> Column:
    zone = ZoneInfo(field.timezone or "UTC")
    column = table.column(field.needs[0])
    if len(field.needs) == 1 and pa.types.is_timestamp(column.type):
        return _stored_time(column, zone), None
    parts = [as_text(table.column(name), name) for name in field.needs]
    text = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, " ")
    text = pc.if_else(pc.equal(text, ""), None, text)
    if field.format in scalars.UNIX:
        return _unix(text, scalars.UNIX[field.format])
    pattern = None if field.format in (None, "iso8601") else field.format
    return _each(text, lambda v: scalars.written_time(v, pattern, zone), pa.int64())


def _stored_time(column: pa.ChunkedArray, zone: ZoneInfo) -> pa.Array:
    if column.type.tz is None:
        column = pc.assume_timezone(column, str(zone), ambiguous="earliest", nonexistent="earliest")
    return _flat(pc.cast(column, pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()))


def _unix(text: pa.ChunkedArray, unit_us: int) -> Column:
    try:
        numbers = text.cast(pa.int64())
        return _flat(pc.multiply_checked(numbers, unit_us)), None
    except pa.ArrowInvalid:  # fractions, or not numbers: cell by cell, with the reason
        return _each(text, lambda v: scalars.unix_time(v, unit_us), pa.int64())


def _each(text: pa.ChunkedArray, convert: scalars.Convert, kind: pa.DataType | None = None) -> Column:
    """Convert each distinct text once; a ValueError becomes the reason of every row that has it."""
    codes = _flat(pc.dictionary_encode(text))
    values: list[Any] = []
    reasons: list[str | None] = []
    for value in codes.dictionary.to_pylist():
        try:
            values.append(convert(value))
            reasons.append(None)
        except ValueError as error:
            values.append(None)
            reasons.append(str(error))
    taken = pa.array(values, kind or pa.string()).take(codes.indices)
    if not any(reasons):
        return taken, None
    return taken, pa.array(reasons, pa.string()).take(codes.indices)


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def to_lists(table: pa.Table | pa.RecordBatch) -> dict[str, list[Any]]:
    """Return columns as Python lists, null as None; by way of numpy, which is ten times as fast as `to_pylist`."""
    found = {}
    for name in table.schema.names:
        column = _flat(table.column(name))
        if column.null_count and not pa.types.is_string(column.type):
            found[name] = column.to_pylist()
        else:
            found[name] = column.to_numpy(zero_copy_only=False).tolist()
    return found
