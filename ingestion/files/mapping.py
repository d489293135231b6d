"""A mapping file: which column, constant or combination of a user's file becomes which field of our transaction."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contracts import schemas
from errors import InputError

HASHED = ("card_id", "account_id", "device_id")
AMOUNTS = ("amount_minor", "billing_amount_minor")
REQUIRED = ("transaction_id", "event_time", "card_id", "amount_minor", "currency")
FIELDS = tuple(name for name in schemas.defaults("transaction") if name != "source")


def _as_text(value: object) -> object:
    """YAML reads 5411 as a number and `no` as a truth value; a file's cells are text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldMap(_Strict):
    """Where one field comes from: exactly one of `column`, `columns` (joined), `constant`."""

    column: str | None = None
    columns: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    constant: Text | None = None
    values: dict[Text, Text | None] | None = None
    """The file's value -> ours; null means absent. A value that is not listed takes `otherwise`, else it is refused."""
    otherwise: Text | None = Field(None, validation_alias=AliasChoices("otherwise", "default"))
    unit: Literal["major", "minor"] | None = None
    """Amounts: whole units with decimals (12.34 USD), or minor units (1234)."""
    decimal_mark: Literal[".", ","] = "."
    rounding: Literal["half_even", "half_up"] | None = None
    """Amounts with more decimals than the currency has: without it they are refused."""
    format: str | None = None
    """Times: iso8601 (default), unix_s, unix_ms, unix_us, or a strptime pattern such as `%Y-%m-%d %H:%M:%S`."""
    timezone: str | None = None
    """Times without an offset: an IANA name; UTC if it is not given."""

    @model_validator(mode="after")
    def one_source(self) -> "FieldMap":
        """Exactly one source; a value map needs a single column."""
        if sum(source is not None for source in (self.column, self.columns, self.constant)) != 1:
            raise ValueError("give exactly one of column, columns, constant")
        if self.values is not None and self.column is None:
            raise ValueError("`values` needs `column`")
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"timezone {self.timezone!r} is not an IANA name such as Europe/Paris") from error
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The file's columns that this field is made of."""
        return self.columns or ((self.column,) if self.column else ())


class LabelMap(_Strict):
    """Which values of which column mean fraud; those in `genuine` become labels too, all others say nothing."""

    column: str
    fraud: tuple[Text, ...] = ("1", "true", "True", "TRUE", "yes", "fraud")
    genuine: tuple[Text, ...] = ()


class CsvFormat(_Strict):
    """How a CSV file is written; Parquet needs none of it."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: str = "utf8"
    nulls: tuple[Text, ...] = ("", "NA", "NULL", "null", "NaN", "nan")


class Mapping(_Strict):
    """A mapping file."""

    source: Annotated[str, Field(min_length=1, max_length=64)]
    csv: CsvFormat = CsvFormat()
    fields: dict[str, FieldMap]
    label: LabelMap | None = None

    @model_validator(mode="after")
    def check_fields(self) -> "Mapping":
        """Required fields are there, unknown ones are not, and options stand where they mean something."""
        if unknown := [name for name in self.fields if name not in FIELDS]:
            raise ValueError(f"fields: {', '.join(unknown)} is not ours; ours are {', '.join(FIELDS)}")
        if missing := [name for name in REQUIRED if name not in self.fields]:
            raise ValueError(f"fields: {', '.join(missing)} must be mapped")
        for name, field in self.fields.items():
            if name in AMOUNTS and field.unit is None:
                raise ValueError(f"fields.{name}: say `unit: major` (12.34) or `unit: minor` (1234)")
            if name not in AMOUNTS and (field.unit or field.rounding):
                raise ValueError(f"fields.{name}: unit and rounding are for amounts")
            if name != "event_time" and (field.format or field.timezone):
                raise ValueError(f"fields.{name}: format and timezone are for event_time")
            if name in HASHED and (field.values or field.constant):
                raise ValueError(f"fields.{name}: it is hashed from the file's column; no constant, no value map")
        if "billing_amount_minor" in self.fields and "billing_currency" not in self.fields:
            raise ValueError("fields: billing_amount_minor needs billing_currency")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns that are read; no other column is ever looked at."""
        found = dict.fromkeys(column for field in self.fields.values() for column in field.needs)
        if self.label:
            found[self.label.column] = None
        return tuple(found)

    @property
    def hashed(self) -> tuple[str, ...]:
        """The file's columns that are replaced by their keyed hash at reading."""
        return tuple(dict.fromkeys(c for name in HASHED if name in self.fields for c in self.fields[name].needs))


def load(path: Path) -> Mapping:
    """Read a mapping; InputError names the file, the place in it and what is wrong."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"mapping {path} cannot be read: {error}") from error
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'mapping'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise InputError(f"mapping {path}: {wrong}") from error
