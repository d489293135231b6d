"""Mapping files: the shipped ones load, and a wrong one is refused by an error that names the place."""

from pathlib import Path

import pytest
import yaml

from errors import InputError
from ingestion.files import mapping
from settings import PROJECT_DIR

SHIPPED = sorted((PROJECT_DIR / "ingestion" / "mappings").glob("*.yaml"))
FIELDS = {
    "transaction_id": {"column": "id"},
    "event_time": {"column": "time"},
    "card_id": {"column": "card"},
    "amount_minor": {"column": "amount", "unit": "major"},
    "currency": {"constant": "USD"},
}


def written(folder: Path, content: object) -> Path:
    file = folder / "mapping.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_mappings_load(path):
    """Every mapping in the repository is valid and hashes its card column."""
    found = mapping.load(path)
    assert found.fields["card_id"].column in found.hashed
    assert found.label


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fields": FIELDS | {"shoe_size": {"column": "x"}}}, "shoe_size"),
        ({"fields": {k: v for k, v in FIELDS.items() if k != "currency"}}, "currency must be mapped"),
        ({"fields": FIELDS | {"amount_minor": {"column": "amount"}}}, "fields.amount_minor: say `unit: major`"),
        ({"fields": FIELDS | {"mcc": {"column": "x", "constant": "5411"}}}, "fields.mcc"),
        ({"fields": FIELDS | {"mcc": {}}}, "fields.mcc"),
        ({"fields": FIELDS | {"mcc": {"columnn": "x"}}}, "fields.mcc.columnn"),
        ({"fields": FIELDS | {"mcc": {"columns": ["a", "b"], "values": {"a": "b"}}}}, "`values` needs `column`"),
        ({"fields": FIELDS | {"card_id": {"constant": "4111"}}}, "fields.card_id"),
        ({"fields": FIELDS | {"mcc": {"column": "x", "unit": "minor"}}}, "fields.mcc: unit and rounding"),
        ({"fields": FIELDS | {"mcc": {"column": "x", "format": "unix_s"}}}, "fields.mcc: format and timezone"),
        ({"fields": FIELDS | {"event_time": {"column": "x", "timezone": "Mars/Base"}}}, "Mars/Base"),
        ({"fields": FIELDS | {"billing_amount_minor": {"column": "x", "unit": "minor"}}}, "billing_currency"),
        ({"fields": FIELDS, "source": "x" * 65}, "source"),
        ({"fields": FIELDS, "csv": {"delimiter": "||"}}, "csv.delimiter"),
        ({"fields": FIELDS, "label": {"fraud": ["1"]}}, "label.column"),
        ("a: [", "cannot be read"),
        ("", "mapping"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_mapping_is_refused_by_name(tmp_path, change, named):
    """The error names the file and the place in it that is wrong."""
    content = change if isinstance(change, str) else {"source": "test", **change}
    file = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        mapping.load(file)
    assert named in str(caught.value)
    assert str(file) in str(caught.value)


def test_yaml_numbers_and_booleans_are_cells_text(tmp_path):
    """A value map or label written as 1, 5411 or true means the text that stands in the file."""
    content = {
        "source": "test",
        "fields": FIELDS | {"mcc": {"column": "kind", "values": {7: 5411, True: "5812", "none": None}}},
        "label": {"column": "flag", "fraud": [1, True]},
    }
    found = mapping.load(written(tmp_path, content))
    assert found.fields["mcc"].values == {"7": "5411", "true": "5812", "none": None}
    assert found.label
    assert found.label.fraud == ("1", "true")
