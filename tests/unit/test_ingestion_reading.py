"""Reading a user's file: cards hashed, rows numbered, exact values, problems told, order and identity counted."""

import gzip
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest
import yaml

from contracts.identity import keyed_hash
from errors import InputError
from ingestion.delays import parse
from ingestion.files import columns, mapping
from ingestion.files.loading import Labels, load
from ingestion.files.reading import Reader
from ingestion.files.store import opened
from ingestion.replay import preview
from ingestion.replay import send as replay
from settings import PROJECT_DIR

KEY = bytes(range(32))
MAPPINGS = PROJECT_DIR / "ingestion" / "mappings"
SAMPLE = PROJECT_DIR / "tests" / "data" / "sparkov-sample.csv"
CARD = "4511766867019978"
BASE = {
    "source": "test",
    "fields": {
        "transaction_id": {"column": "id"},
        "event_time": {"column": "time"},
        "card_id": {"column": "card"},
        "amount_minor": {"column": "amount", "unit": "major"},
        "currency": {"constant": "USD"},
    },
    "label": {"column": "fraud", "fraud": [1]},
}


def made(folder: Path, text: str, **fields: object) -> Reader:
    """A reader of a CSV with that content under BASE, with other fields."""
    (folder / "map.yaml").write_text(yaml.safe_dump(BASE | {"fields": BASE["fields"] | fields}))
    (folder / "file.csv").write_text(text)
    return Reader(folder / "file.csv", mapping.load(folder / "map.yaml"), KEY)


def everything(reader: Reader) -> tuple[list, dict]:
    """All rows in the order of sending, and the findings of a dry run."""
    with opened() as store:
        load(reader, store, Labels(parse("7d"), 1), defaultdict(float), lambda _: None)
        found = preview.examine(reader, store)
        preview.show(found, reader, store)
        fixed = columns.template(reader.mapping)
        sent = [row for batch in store.by_time(1000) for row in replay.rows(batch, fixed)]
        labels = [row for batch in store.labels(1000) for row in batch.to_pylist()]
        return sent, {**found.as_json(), "label_rows": labels}


def sparkov(path: Path) -> Reader:
    return Reader(path, mapping.load(MAPPINGS / "sparkov.yaml"), KEY)


def test_the_sparkov_sample_maps_whole():
    """All 3,000 payments of the foreign file map and pass the validation, sorted by time, with their 60 frauds."""
    rows, found = everything(sparkov(SAMPLE))
    assert (len(rows), found["good"], found["labels"]) == (3000, 3000, {"fraud": 60})
    times = [record["event_time"] for _, _, record in rows]
    assert times == sorted(times)
    assert len({record["transaction_id"] for _, _, record in rows}) == 3000
    first = next(record for number, _, record in rows if number == 1)
    assert first["amount_minor"] == 6122
    assert first["event_time"] == 1_708_923_820_000_000
    assert (first["mcc"], first["entry_mode"], first["currency"]) == ("5411", "chip", "USD")
    assert first["card_id"] == keyed_hash(KEY, CARD)
    assert all(label["known_at"] - 7 * 86_400_000_000 in set(times) for label in found["label_rows"])
    assert found["always_missing_features"] == ["is_strongly_authenticated"]


def test_csv_gzip_and_parquet_give_the_same_records(tmp_path):
    """The same payments from a CSV, a gzipped CSV and a Parquet with doubles and integers are equal records."""
    plain, _ = everything(sparkov(SAMPLE))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(SAMPLE.read_bytes()))
    types = {"cc_num": pa.string(), "acct_num": pa.string()}
    parsed, converted = pc_csv.ParseOptions(delimiter="|"), pc_csv.ConvertOptions(column_types=types)
    table = pc_csv.read_csv(SAMPLE, parse_options=parsed, convert_options=converted)
    assert pa.types.is_floating(table.schema.field("amt").type)
    pq.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv.gz", "a.parquet"):
        assert everything(sparkov(tmp_path / name))[0] == plain


def test_no_card_number_gets_past_the_reader():
    """None of the sample's card or account numbers stands in any batch, record or label."""
    with SAMPLE.open() as lines:
        head = next(lines).rstrip().split("|")
        raw = [line.rstrip().split("|") for line in lines]
    secrets = {row[head.index(name)] for row in raw for name in ("cc_num", "acct_num")}
    assert len(secrets) > 300
    seen = "\n".join(str(batch.table.to_pydict()) for batch in sparkov(SAMPLE))
    rows, found = everything(sparkov(SAMPLE))
    seen += str(rows) + str(found)
    assert not [secret for secret in secrets if secret in seen]


def test_a_wrong_column_is_named_and_the_files_are_listed(tmp_path):
    """The error names the column that is not there, what the file has, and the likeliest meaning."""
    reader = made(tmp_path, "id,time,card_no,amount,fraud\n", card_id={"column": "card_noo"})
    with pytest.raises(InputError, match=r"no column 'card_noo'. Did you mean 'card_no'\? .*: id, time, card_no"):
        list(reader)


def test_each_bad_row_is_told_with_its_number_and_reason(tmp_path):
    """Rows that cannot be mapped or break a rule are counted by code, with row numbers as in the file."""
    text = (
        "id,time,card,amount,fraud\n"
        f"a,2024-01-01,{CARD},1.00,0\n"
        f"b,2024-01-01,{CARD},1.005,0\n"
        "c,2024-01-01\n"
        f"d,yesterday,{CARD},1.00,0\n"
        f"e,2024-01-01,{CARD},-1.00,0\n"
        "f,2024-01-01,,1.00,0\n"
        f"g,2999-01-01,{CARD},1.00,0\n"
        f"h,2024-01-01,{CARD},,0\n"
        f"i,2024-01-02,{CARD},1.00,1\n"
    )
    rows, found = everything(made(tmp_path, text))
    assert found["rejected_by_code"] == {"future_time": 1, "missing_field": 2, "negative_amount": 1, "unmappable": 3}
    told = {line["row"]: (line["code"], line["reason"]) for line in found["rejected_first"]}
    assert told[2][1] == "amount_minor: '1.005' has more decimals than USD has; `rounding: half_even` would accept it"
    assert told[3] == ("unmappable", "2 cells, the header has 5")
    assert told[4] == ("unmappable", "event_time: 'yesterday' is not a time like 2024-05-01T12:34:56")
    codes = [told[row][0] for row in (5, 6, 7, 8)]
    assert codes == ["negative_amount", "missing_field", "future_time", "missing_field"]
    assert (found["rows"], found["good"], len(rows)) == (9, 2, 8)
    assert [number for number, why, _ in rows if why is None][:1] != [3]


def test_colliding_ids_are_counted_and_stop_a_replay(tmp_path):
    """One id with two contents is a collision that replay refuses; with the same content it is a repeat."""
    text = (
        "id,time,card,amount,fraud\n"
        f"a,2024-01-01,{CARD},1.00,0\na,2024-01-01,{CARD},1.00,0\n"
        f"b,2024-01-01,{CARD},1.00,0\nb,2024-01-01,{CARD},2.00,0\nb,2024-01-01,{CARD},2.00,0\n"
    )
    reader = made(tmp_path, text)
    _, found = everything(reader)
    assert (found["colliding_ids"], found["colliding_rows"], found["repeated_rows"]) == (1, 2, 2)
    with opened() as store:
        load(reader, store, Labels(parse("7d"), 1), defaultdict(float), lambda _: None)
        with pytest.raises(InputError, match="rows 3, 4, 5"):
            replay.refuse_collisions(store.totals(), store)


def test_sparkovs_own_number_collides_and_the_built_id_does_not(tmp_path):
    """An id of several columns is digested to 64 characters after the card became its hash."""
    text = f"id,time,card,amount,fraud\na,2024-01-01,{CARD},1.00,0\na,2024-01-01,4000000000000002,1.00,0\n"
    _, alone = everything(made(tmp_path, text))
    rows, built = everything(made(tmp_path, text, transaction_id={"columns": ["card", "id"]}))
    assert (alone["colliding_ids"], built["colliding_ids"]) == (1, 0)
    assert all(len(record["transaction_id"]) == 64 for _, _, record in rows)


def test_value_maps_constants_aliases_and_split_times(tmp_path):
    """Value maps, their `otherwise`, nulls, 3DS aliases, date plus time columns and per-row currencies."""
    text = (
        "id,day,clock,card,amount,fraud,kind,auth,cur\n"
        f"a,01.05.2024,12:30,{CARD},1200,0,x,3ds_challenge,JPY\n"
        f"b,01.05.2024,12:31,{CARD},12.00,1,y,,EUR\n"
        f"c,01.05.2024,12:32,{CARD},12.00,0,z,pin,EUR\n"
    )
    rows, found = everything(
        made(
            tmp_path,
            text,
            event_time={"columns": ["day", "clock"], "format": "%d.%m.%Y %H:%M", "timezone": "Europe/Paris"},
            currency={"column": "cur"},
            mcc={"column": "kind", "values": {"x": 5411, "y": None}, "otherwise": 5999},
            authentication={"column": "auth"},
            utc_offset_min={"constant": 120},
            message_type={"column": "auth", "values": {"pin": None, "3ds_challenge": "advice"}},
        )
    )
    a, b, c = (record for _, _, record in rows)
    assert (a["amount_minor"], b["amount_minor"], c["amount_minor"]) == (1200, 1200, 1200)
    assert (a["mcc"], b["mcc"], c["mcc"]) == ("5411", None, "5999")
    assert (a["authentication"], b["authentication"]) == ("three_ds_challenge", None)
    assert [record["message_type"] for record in (a, b, c)] == ["advice", "authorization", "authorization"]
    assert (a["event_time"], a["utc_offset_min"]) == (1_714_559_400_000_000, 120)
    assert (found["good"], found["labels"]) == (3, {"fraud": 1})


def test_the_minimal_file_says_which_features_it_will_never_have(tmp_path):
    """With id, time, customer, terminal, amount, flag alone, a dry run lists exactly the features of other fields."""
    file = tmp_path / "min.csv"
    head = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
    file.write_text(f"{head}\n1,2024-05-01 10:00:00,596,3156,57.16,0\n")
    _, found = everything(Reader(file, mapping.load(MAPPINGS / "minimal.yaml"), KEY))
    assert found["good"] == 1
    assert found["always_missing_features"] == [
        "is_card_present",
        "is_cross_border",
        "mcc_group",
        "is_high_risk_mcc",
        "is_strongly_authenticated",
        "mcc_risk_30d",
        "geo_velocity_kmh",
        "high_risk_merchant_count_1hr",
    ]


def test_card_numbers_stored_as_floating_point_are_refused_when_digits_are_lost(tmp_path):
    """A nineteen-digit card in a double has lost digits: an error says so; a sixteen-digit one still is exact."""
    path = tmp_path / "a.parquet"
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(BASE))
    for number, exact in ((float(CARD), True), (6.30490004178943e18, False)):
        cells = {"id": ["a"], "time": ["2024-01-01"], "card": [number], "amount": [1.5], "fraud": [0]}
        pq.write_table(pa.table(cells), path)
        reader = Reader(path, mapping.load(tmp_path / "map.yaml"), KEY)
        if exact:
            assert next(iter(reader)).table["card"].to_pylist() == [keyed_hash(KEY, CARD)]
        else:
            with pytest.raises(InputError, match="digits are lost"):
                list(reader)


def test_timestamps_of_parquet_are_taken_as_they_are(tmp_path):
    """A timestamp column needs no format; without a zone it is of the mapping's timezone."""
    path = tmp_path / "a.parquet"
    fields = BASE["fields"] | {"event_time": {"column": "time", "timezone": "Europe/Paris"}}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(BASE | {"fields": fields}))
    for zone, expected in ((None, 1_714_557_600_000_000), ("UTC", 1_714_564_800_000_000)):
        times = pa.array([1_714_564_800_000], pa.timestamp("ms", zone))
        pq.write_table(pa.table({"id": ["a"], "time": times, "card": [CARD], "amount": [1.5], "fraud": [0]}), path)
        rows, _ = everything(Reader(path, mapping.load(tmp_path / "map.yaml"), KEY))
        assert rows[0][2]["event_time"] == expected


@pytest.mark.parametrize("rows", ["", "a,b\n"])
def test_a_file_without_rows_says_so(tmp_path, rows):
    """A header alone, or only lines that are no rows, is an error that tells which."""
    with pytest.raises(InputError, match="no rows after the header" + ("; 1 lines" if rows else "$")):
        everything(made(tmp_path, "id,time,card,amount,fraud\n" + rows))


@pytest.mark.parametrize("content", ["", "id,time\n"])
def test_an_empty_file_is_told_apart(tmp_path, content):
    """No header is an error, a header without its columns names what is missing."""
    with pytest.raises(InputError, match=r"is empty|no column .*'card'"):
        list(made(tmp_path, content))
